// A stand-in for the Socket.IO client of the Arduino library "WebSockets", over a POSIX socket. It reproduces the library's
// behaviour: it sends "2probe" and "5" first, reports the open websocket as sIOtype_CONNECT, and closes the connection
// when it receives more than 15 kB at once. With CONNECTS_TWICE it also reports the device's CONNECT as sIOtype_CONNECT,
// like versions up to 2.3.
#pragma once
#include <Arduino.h>
#include <arpa/inet.h>
#include <cerrno>
#include <functional>
#include <poll.h>
#include <sys/socket.h>

typedef enum {
    sIOtype_CONNECT = '0',
    sIOtype_DISCONNECT = '1',
    sIOtype_EVENT = '2',
    sIOtype_ERROR = '4',
} socketIOmessageType_t;

class SocketIOclient {
  public:
    typedef std::function<void(socketIOmessageType_t type, uint8_t *payload, size_t length)> SocketIOclientEvent;

    // Ignores the address in the sketch: the service under test listens on DEVICE_PORT of this machine.
    // Called again, it connects at once, but leaves an open connection as it is.
    void begin(const char *, uint16_t, const char *path) {
        url = path;
        failed_ms = millis() - pause_ms;
    }
    void onEvent(SocketIOclientEvent callback) { tell = callback; }
    void setReconnectInterval(unsigned long ms) { pause_ms = ms; }
    bool send(socketIOmessageType_t type, const char *text) { return write(std::string("4") + char(type) + text); }
    bool sendEVENT(String &text) { return send(sIOtype_EVENT, text.c_str()); }

    void disconnect() {
        if (fd < 0) return;
        close(fd);
        fd = -1;
        failed_ms = millis();
        tell(sIOtype_DISCONNECT, nullptr, 0);
    }

    void loop() {
        if (fd < 0) {
            if (millis() - failed_ms >= pause_ms) connect();
            return;
        }
        pollfd readable{fd, POLLIN, 0};
        if (poll(&readable, 1, 0) > 0) receive();
    }

  private:
    static constexpr size_t MOST = 15 * 1024;
    std::string url;
    SocketIOclientEvent tell;
    unsigned long pause_ms = 500, failed_ms = 0;
    int fd = -1;

    void connect() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(std::atoi(std::getenv("DEVICE_PORT")));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        timeval patience{5, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        std::string head = "GET " + url + "&transport=websocket HTTP/1.1\r\nHost: device\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        std::string answer;
        char one;
        bool open = ::connect(fd, (sockaddr *)&address, sizeof address) == 0 && all(head.data(), head.size());
        while (open && answer.find("\r\n\r\n") == std::string::npos)
            if ((open = recv(fd, &one, 1, 0) == 1)) answer += one;
        if (!open || answer.rfind("HTTP/1.1 101", 0) != 0) {
            disconnect();
            return;
        }
        write("2probe");
        write("5");
        tell(sIOtype_CONNECT, (uint8_t *)url.c_str(), url.size());
    }

    void receive() {
        uint8_t head[2], more[8];
        if (!exactly(head, 2)) return disconnect();
        size_t length = head[1] & 127, extra = length == 126 ? 2 : length == 127 ? 8 : 0;
        if (!exactly(more, extra)) return disconnect();
        if (extra) length = 0;
        for (size_t i = 0; i < extra; i++) length = length << 8 | more[i];
        if (length > MOST) return disconnect();
        std::string text(length, 0);
        if (!exactly((uint8_t *)text.data(), length) || (head[0] & 15) == 8) return disconnect();
        if (text[0] == '2') write("3" + text.substr(1));
        if (text[0] != '4' || length < 2) return;
        auto type = socketIOmessageType_t(text[1]);
        if (type == sIOtype_CONNECT && !std::getenv("CONNECTS_TWICE")) return;
        tell(type, (uint8_t *)text.data() + 2, length - 2);
    }

    // A text message in one frame; its mask is all zeros, which leaves the payload unchanged.
    bool write(const std::string &text) {
        if (fd < 0) return false;
        std::string head{char(0x81)};
        size_t length = text.size(), extra = length < 126 ? 0 : length < 65536 ? 2 : 8;
        head += char(0x80 | (extra == 0 ? length : extra == 2 ? 126 : 127));
        for (size_t i = extra; i > 0; i--) head += char(length >> (8 * (i - 1)));
        head += std::string(4, 0);
        return all(head.data(), head.size()) && all(text.data(), length);
    }

    bool all(const char *data, size_t length) {
        while (length > 0) {
            ssize_t sent = ::send(fd, data, length, MSG_NOSIGNAL);
            if (sent <= 0) return false;
            data += sent;
            length -= sent;
        }
        return true;
    }

    bool exactly(uint8_t *into, size_t length) {
        return length == 0 || recv(fd, into, length, MSG_WAITALL) == ssize_t(length);
    }
};
