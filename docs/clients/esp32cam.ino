// An ESP32-CAM (AI Thinker) as a camera of the appliance. It has not run on a board; see docs/clients for what was tried.
// Libraries: "Arduino core for ESP32" (esp_camera.h, WiFi.h) and "WebSockets" by Markus Sattler (SocketIOclient.h).
// Socket.IO carries a picture as base64 text here, because that library sends no binary attachments.
#include <SocketIOclient.h>
#include <WiFi.h>
#include <base64.h>
#include <esp_camera.h>

const char *SSID = "site", *PASSWORD = "secret", *BOX = "192.168.0.7";
const char *NAMED = "{\"name\":\"gate\"}";  // with a token: {"name":"gate","token":"…"}

SocketIOclient box;
unsigned long next_ms = 0, asked_ms = 0, interval_ms = 1000;
bool waiting = false, greeted = false;

// The number after "key": in a message; enough for limits, and no JSON library.
float number(const String &text, const char *key, float otherwise) {
  int at = text.indexOf(String("\"") + key + "\":");
  return at < 0 ? otherwise : text.substring(at + strlen(key) + 3).toFloat();
}

void obey(const String &text) {
  interval_ms = number(text, "min_interval", interval_ms / 1000.0) * 1000;
  int side = number(text, "max_side", 640);
  sensor_t *sensor = esp_camera_sensor_get();
  sensor->set_framesize(sensor, side >= 640 ? FRAMESIZE_VGA : side >= 320 ? FRAMESIZE_QVGA : FRAMESIZE_QQVGA);
}

void heard(socketIOmessageType_t type, uint8_t *payload, size_t length) {
  if (type == sIOtype_CONNECT) {
    if (waiting || greeted) return;  // older versions of the library tell of the box's own CONNECT in the same way
    waiting = box.send(sIOtype_CONNECT, (String("/,") + NAMED).c_str());
    asked_ms = millis();
    return;
  }
  if (type == sIOtype_DISCONNECT) { waiting = greeted = false; return; }
  if (type != sIOtype_EVENT && type != sIOtype_ERROR) return;
  String text((const char *)payload, length);
  if (type == sIOtype_ERROR) Serial.println(text);  // refused: it asks again when it has waited long enough
  else if (text.startsWith("[\"connected\"")) { obey(text); greeted = true; waiting = false; }
  else if (text.startsWith("[\"limits\"")) obey(text);
  else if (text.startsWith("[\"detection_") || text.startsWith("[\"frame_skipped\"")) {
    waiting = false;
    next_ms = max(next_ms, millis() + (unsigned long)(number(text, "retry_after", 0) * 1000));
    Serial.println(text);
  }
}

void shoot() {
  camera_fb_t *picture = esp_camera_fb_get();
  if (!picture) return;
  String message = "[\"process_frame\",{\"image\":\"" + base64::encode(picture->buf, picture->len) + "\"}]";
  esp_camera_fb_return(picture);
  asked_ms = millis();
  next_ms = asked_ms + interval_ms;
  waiting = box.sendEVENT(message);
}

void setup() {
  Serial.begin(115200);
  camera_config_t config = {};
  config.pin_d0 = 5; config.pin_d1 = 18; config.pin_d2 = 19; config.pin_d3 = 21;
  config.pin_d4 = 36; config.pin_d5 = 39; config.pin_d6 = 34; config.pin_d7 = 35;
  config.pin_xclk = 0; config.pin_pclk = 22; config.pin_vsync = 25; config.pin_href = 23;
  config.pin_sccb_sda = 26; config.pin_sccb_scl = 27; config.pin_pwdn = 32; config.pin_reset = -1;
  config.xclk_freq_hz = 20000000;
  config.pixel_format = PIXFORMAT_JPEG;
  config.frame_size = FRAMESIZE_VGA;
  config.jpeg_quality = 12;
  config.fb_count = 2;
  config.grab_mode = CAMERA_GRAB_LATEST;  // the newest, not the oldest
  config.fb_location = CAMERA_FB_IN_PSRAM;
  if (esp_camera_init(&config) != ESP_OK) { Serial.println("no camera"); delay(5000); ESP.restart(); }
  WiFi.begin(SSID, PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(200);
  box.begin(BOX, 8080, "/socket.io/?EIO=4");
  box.setReconnectInterval(500 + random(2000));  // not at the same moment as all the others
  box.onEvent(heard);
}

void loop() {
  box.loop();  // it connects again by itself
  if (waiting && millis() - asked_ms > 10000) { waiting = false; box.disconnect(); }
  if (greeted && !waiting && (long)(millis() - next_ms) >= 0) shoot();
}
