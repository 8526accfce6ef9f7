// A camera that returns PICTURES/160.jpg, 320.jpg or 640.jpg, depending on the frame size. Names are from Espressif's
// esp32-camera (esp_camera.h, sensor.h).
#pragma once
#include <Arduino.h>
#include <vector>

typedef int esp_err_t;
enum { ESP_OK = 0 };
typedef enum { PIXFORMAT_JPEG = 4 } pixformat_t;
typedef enum { FRAMESIZE_QQVGA = 160, FRAMESIZE_QVGA = 320, FRAMESIZE_VGA = 640 } framesize_t;
typedef enum { CAMERA_GRAB_WHEN_EMPTY, CAMERA_GRAB_LATEST } camera_grab_mode_t;
typedef enum { CAMERA_FB_IN_PSRAM, CAMERA_FB_IN_DRAM } camera_fb_location_t;

typedef struct {
    int pin_pwdn, pin_reset, pin_xclk, pin_sccb_sda, pin_sccb_scl;
    int pin_d7, pin_d6, pin_d5, pin_d4, pin_d3, pin_d2, pin_d1, pin_d0, pin_vsync, pin_href, pin_pclk;
    int xclk_freq_hz;
    pixformat_t pixel_format;
    framesize_t frame_size;
    int jpeg_quality;
    size_t fb_count;
    camera_fb_location_t fb_location;
    camera_grab_mode_t grab_mode;
} camera_config_t;

typedef struct {
    uint8_t *buf;
    size_t len;
} camera_fb_t;

typedef struct sensor sensor_t;
struct sensor {
    framesize_t framesize;
    int (*set_framesize)(sensor_t *, framesize_t);
};

inline sensor_t the_sensor{FRAMESIZE_QQVGA, [](sensor_t *sensor, framesize_t size) { sensor->framesize = size; return 0; }};
inline std::vector<uint8_t> the_picture;
inline camera_fb_t the_buffer;

inline sensor_t *esp_camera_sensor_get() { return &the_sensor; }

inline esp_err_t esp_camera_init(const camera_config_t *config) {
    the_sensor.framesize = config->frame_size;
    return ESP_OK;
}

// A single buffer: until it is returned there is no other one, as on the board.
inline camera_fb_t *esp_camera_fb_get() {
    if (the_buffer.buf) return nullptr;
    auto path = std::string(std::getenv("PICTURES")) + "/" + std::to_string(the_sensor.framesize) + ".jpg";
    FILE *file = std::fopen(path.c_str(), "rb");
    if (!file) return nullptr;
    the_picture.resize(1 << 20);
    the_buffer = {the_picture.data(), std::fread(the_picture.data(), 1, the_picture.size(), file)};
    std::fclose(file);
    return &the_buffer;
}

inline void esp_camera_fb_return(camera_fb_t *buffer) { *buffer = {}; }
