/* Let the nth write to a file whose path contains ".new-" fail, as on a full or broken disk. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1;
static int error;

/* Let the nth write from now on fail; 0: none. Returns how many were left to go. */
long arm(long nth, int code) {
    long before = left;
    left = nth ? nth : -1;
    error = code;
    return before;
}

static int fails(int descriptor) {
    char link[64], path[4096];
    if (left < 1) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "/.new-") || --left) return 0;
    errno = error;
    return 1;
}

#define WRITE(name, offset)                                                            \
    ssize_t name(int descriptor, const void *data, size_t size, offset at) {                   \
        static ssize_t (*real)(int, const void *, size_t, offset);                             \
        if (!real) real = (ssize_t(*)(int, const void *, size_t, offset))dlsym(RTLD_NEXT, #name); \
        return fails(descriptor) ? -1 : real(descriptor, data, size, at);                      \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

ssize_t write(int descriptor, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return fails(descriptor) ? -1 : real(descriptor, data, size);
}

#define SYNC(name)                                                   \
    int name(int descriptor) {                                       \
        static int (*real)(int);                                     \
        if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name);     \
        return fails(descriptor) ? -1 : real(descriptor);            \
    }
SYNC(fsync)
SYNC(fdatasync)

int ftruncate(int descriptor, off_t size) {
    static int (*real)(int, off_t);
    if (!real) real = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate");
    return fails(descriptor) ? -1 : real(descriptor, size);
}
