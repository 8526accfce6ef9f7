// The main loop of the board.
#include <Arduino.h>

void setup();
void loop();

int main() {
    setup();
    while (true) {
        loop();
        delay(1);
    }
}
