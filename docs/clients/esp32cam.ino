// An ESP32-CAM (AI Thinker) as a camera of the appliance. Not yet run on a board; docs/clients says what was tested.
// Libraries: "Arduino core for ESP32" (esp_camera.h, WiFi.h) and "WebSockets" by Markus Sattler (SocketIOclient.h).
// The picture is sent as base64 text, because the library does not support binary attachments.
#include <SocketIOclient.h>
#include <WiFi.h>
#include <base64.h>
#include <esp_camera.h>

const char *SSID = "site", *PASSWORD = "secret", *DEVICE = "192.168.0.7";
const char *AUTH = "{\"name\":\"gate\"}";  // with a token: {"name":"gate","token":"…"}

SocketIOclient device;
unsigned long next_ms = 0, sent_ms = 0, interval_ms = 1000;
bool waiting = false, greeted = false, lost = false;
String moved;        // where a device of a site sends this camera; empty: nowhere
bool aside = false;  // the present connection was made with it

// The number after "key": in a message, so that no JSON library is needed.
float number(const String &text, const char *key, float fallback) {
  int at = text.indexOf(String("\"") + key + "\":");
  return at < 0 ? fallback : text.substring(at + strlen(key) + 3).toFloat();
}

// The text after "key": in a message, which has no quotes in it.
String word(const String &text, const char *key) {
  String sign = String("\"") + key + "\":\"";
  int at = text.indexOf(sign);
  if (at < 0) return "";
  String rest = text.substring(at + sign.length());
  return rest.substring(0, rest.indexOf("\""));
}

// Connects next to the device that `to` names; empty: to the one that the front of the site chooses.
void aim(String to) {
  String path = "/socket.io/?EIO=4&camera=gate";  // the same name as in AUTH
  if (to.length()) path = path + "&moved=" + to;
  if (greeted) device.disconnect();
  moved = "";
  aside = to.length() > 0;
  device.begin(DEVICE, 8080, path.c_str());
}

void applyLimits(const String &text) {
  interval_ms = number(text, "min_interval", interval_ms / 1000.0) * 1000;
  int side = number(text, "max_side", 640);
  sensor_t *sensor = esp_camera_sensor_get();
  sensor->set_framesize(sensor, side >= 640 ? FRAMESIZE_VGA : side >= 320 ? FRAMESIZE_QVGA : FRAMESIZE_QQVGA);
}

void onMessage(socketIOmessageType_t type, uint8_t *payload, size_t length) {
  if (type == sIOtype_CONNECT) {
    if (waiting || greeted) return;  // older versions of the library report the device's CONNECT in the same way
    waiting = device.send(sIOtype_CONNECT, (String("/,") + AUTH).c_str());
    sent_ms = millis();
    return;
  }
  if (type == sIOtype_DISCONNECT) { lost = true; waiting = greeted = false; return; }
  if (type != sIOtype_EVENT && type != sIOtype_ERROR) return;
  String text((const char *)payload, length);
  if (type == sIOtype_ERROR) Serial.println(text);  // refused: loop() reconnects after the timeout
  else if (text.startsWith("[\"connected\"")) { applyLimits(text); greeted = true; waiting = false; }
  else if (text.startsWith("[\"limits\"")) applyLimits(text);
  else if (text.startsWith("[\"moved\"")) moved = word(text, "moved");
  else if (text.startsWith("[\"detection_") || text.startsWith("[\"frame_skipped\"")) {
    waiting = false;
    next_ms = max(next_ms, millis() + (unsigned long)(number(text, "retry_after", 0) * 1000));
    Serial.println(text);
  }
}

void sendFrame() {
  camera_fb_t *picture = esp_camera_fb_get();
  if (!picture) return;
  String message = "[\"process_frame\",{\"image\":\"" + base64::encode(picture->buf, picture->len) + "\"}]";
  esp_camera_fb_return(picture);
  sent_ms = millis();
  next_ms = sent_ms + interval_ms;
  waiting = device.sendEVENT(message);
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
  aim("");
  device.setReconnectInterval(500 + random(2000));  // random, so that cameras do not reconnect at the same moment
  device.onEvent(onMessage);
}

void loop() {
  device.loop();  // reconnects if necessary
  if (waiting && millis() - sent_ms > 10000) { waiting = false; device.disconnect(); }
  if (moved.length() && !waiting) aim(moved);  // between two frames
  else if (aside && lost) aim("");
  lost = false;
  if (greeted && !waiting && (long)(millis() - next_ms) >= 0) sendFrame();
}
