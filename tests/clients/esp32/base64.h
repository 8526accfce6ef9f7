// The core's base64 encoder: without line breaks.
#pragma once
#include <Arduino.h>

struct base64 {
    static String encode(const uint8_t *data, size_t length) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        std::string text;
        for (size_t at = 0; at < length; at += 3) {
            uint32_t three = 0;
            for (size_t i = 0; i < 3; i++) three = three << 8 | (at + i < length ? data[at + i] : 0);
            for (size_t i = 0; i < 4; i++) text += at + i <= length ? digits[three >> (18 - 6 * i) & 63] : '=';
        }
        return String(text.c_str());
    }
};
