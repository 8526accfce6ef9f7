/* A fake webcam for FFmpeg's V4L2 input, preloaded with LD_PRELOAD: the kernel side of <linux/videodev2.h>.
   FAKE_VIDEO is the device path and FAKE_JPEG the picture to deliver. With FAKE_RAW it delivers grey YUYV instead of JPEG.
   It supports only 320x180 and 640x360, and logs each selected mode to FAKE_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4, LENGTH = 1 << 20 };
static int device = -1, head, queued[BUFFERS], count, sequence;
static unsigned width = 640, height = 360, form;
static unsigned char *memory[BUFFERS], jpeg[LENGTH];
static size_t jpeg_length;

static int opened(const char *path) {
    const char *fake = getenv("FAKE_VIDEO");
    if (!fake || strcmp(path, fake)) return 0;
    form = getenv("FAKE_RAW") ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
    FILE *file = fopen(getenv("FAKE_JPEG"), "rb");
    jpeg_length = fread(jpeg, 1, LENGTH, file);
    fclose(file);
    count = head = 0;
    return 1;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        int fd = real(path, flags, mode); \
        if (fd >= 0 && opened(path)) device = fd; \
        return fd; \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    if (fd == device) device = -1;
    return real(fd);
}

#define MMAP(name) \
    void *name(void *at, size_t length, int protection, int flags, int fd, off_t offset) { \
        void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #name); \
        if (fd < 0 || fd != device) return real(at, length, protection, flags, fd, offset); \
        return memory[offset / LENGTH] = real(0, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); \
    }
MMAP(mmap)
MMAP(mmap64)

static void set_format(struct v4l2_pix_format *pix) {
    FILE *log = fopen(getenv("FAKE_LOG"), "a");
    fprintf(log, "%.4s %ux%u\n", (char *)&pix->pixelformat, pix->width, pix->height);
    fclose(log);
    width = pix->width <= 320 ? 320 : 640;
    height = width * 9 / 16;
}

static void show(struct v4l2_buffer *buffer) {
    struct timespec now, frame = {0, 20000000};
    nanosleep(&frame, NULL);
    buffer->index = queued[head++ % BUFFERS];
    count--;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long stamp_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000 - 500000; /* it was exposed half a second ago */
    buffer->timestamp.tv_sec = stamp_us / 1000000;
    buffer->timestamp.tv_usec = stamp_us % 1000000;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->sequence = sequence++;
    buffer->bytesused = form == V4L2_PIX_FMT_MJPEG ? jpeg_length : width * height * 2;
    if (form == V4L2_PIX_FMT_MJPEG) memcpy(memory[buffer->index], jpeg, jpeg_length);
    else memset(memory[buffer->index], 128, buffer->bytesused);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest; va_start(rest, request); void *argument = va_arg(rest, void *); va_end(rest);
    if (fd < 0 || fd != device) {
        int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
        return real(fd, request, argument);
    }
    struct v4l2_buffer *buffer = argument;
    struct v4l2_format *format = argument;
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP:
        ((struct v4l2_capability *)argument)->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUMINPUT:
        if (((struct v4l2_input *)argument)->index == 0) return 0;
        break;
    case VIDIOC_S_FMT: set_format(&format->fmt.pix); /* fall through */
    case VIDIOC_G_FMT:
        format->fmt.pix.width = width; format->fmt.pix.height = height; format->fmt.pix.pixelformat = form;
        format->fmt.pix.field = V4L2_FIELD_NONE;
        format->fmt.pix.bytesperline = form == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
        format->fmt.pix.sizeimage = form == V4L2_PIX_FMT_YUYV ? width * height * 2 : LENGTH;
        return 0;
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: {
        struct v4l2_captureparm *capture = &((struct v4l2_streamparm *)argument)->parm.capture;
        capture->timeperframe.numerator = 1; capture->timeperframe.denominator = 50;
        return 0; }
    case VIDIOC_REQBUFS: ((struct v4l2_requestbuffers *)argument)->count = BUFFERS; return 0;
    case VIDIOC_QUERYBUF: buffer->length = LENGTH; buffer->m.offset = buffer->index * LENGTH; return 0;
    case VIDIOC_QBUF: queued[(head + count++) % BUFFERS] = buffer->index; return 0;
    case VIDIOC_DQBUF:
        if (count) { show(buffer); return 0; }
        errno = EAGAIN;
        return -1;
    case VIDIOC_STREAMON: case VIDIOC_STREAMOFF: return 0;
    }
    errno = ENOTTY;
    return -1;
}
