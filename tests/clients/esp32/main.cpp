// The board's own main: what the core calls.
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
