/* A GPU driver's library without a GPU: its functions ask the kernel for what NVIDIA's ask for when they make a context,
 * and fail where they fail. It offers one GPU, on which nothing can be computed. Compiled by the tests.
 *
 * AFFINITY: it also wants to choose its CPU, which seccomp alone refuses.
 * HOSTS: it also reads a file that only Landlock and the view of files hide.
 * NOT_READY: the machine's GPUs are not connected yet.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, NO_DEVICE = 100, OPERATING_SYSTEM = 304, SYSTEM_NOT_READY = 802 };

static void *stay(void *unused) {
    (void)unused;
    pause();
    return NULL;
}

static int can_read(const char *path) {
    char byte;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int is_read = file >= 0 && read(file, &byte, 1) >= 0;
    close(file);
    return is_read;
}

static int can_listen(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "cuda-uvmfd-1-%d", getpid());
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    return listener >= 0 && bind(listener, (struct sockaddr *)&name, size) == 0 && listen(listener, 16) == 0;
}

int cuInit(unsigned flags) {
    (void)flags;
#ifdef NOT_READY
    return SYSTEM_NOT_READY;
#endif
    pthread_t helper;
    if (pthread_create(&helper, NULL, stay, NULL) != 0 || pthread_setname_np(helper, "cuda-EvtHandlr") != 0)
        return OPERATING_SYSTEM;
    if (!can_listen() || !can_read("/proc/devices") || !can_read("/proc/self/maps"))
        return OPERATING_SYSTEM;
    int memory = memfd_create("driver", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, 32 << 20) != 0)
        return OPERATING_SYSTEM;
    if (mmap(NULL, (size_t)4 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        return OPERATING_SYSTEM;
#ifdef AFFINITY
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0 || sched_setaffinity(0, sizeof cpus, &cpus) != 0)
        return OPERATING_SYSTEM;
#endif
#ifdef HOSTS
    if (!can_read("/etc/hosts"))
        return OPERATING_SYSTEM;
#endif
    return SUCCESS;
}

int cuGetErrorName(int error, const char **name) {
    *name = error == OPERATING_SYSTEM   ? "CUDA_ERROR_OPERATING_SYSTEM"
            : error == SYSTEM_NOT_READY ? "CUDA_ERROR_SYSTEM_NOT_READY"
                                        : NULL;
    return *name ? SUCCESS : INVALID_VALUE;
}

int cuDriverGetVersion(int *version) {
    *version = 13000;
    return SUCCESS;
}

int cuDeviceGetCount(int *count) {
    *count = 1;
    return SUCCESS;
}

int cuDeviceGet(int *device, int number) {
    *device = number;
    return number == 0 ? SUCCESS : NO_DEVICE;
}

int cuDeviceGetName(char *name, int room, int device) {
    (void)device;
    snprintf(name, (size_t)room, "a GPU of the tests");
    return SUCCESS;
}

int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    (void)device;
    memset(uuid, 0xab, 16);
    return SUCCESS;
}

int cuDeviceGetPCIBusId(char *bus, int room, int device) {
    (void)device;
    snprintf(bus, (size_t)room, "0000:CA:00.0");
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    *context = context;
    return SUCCESS;
}

int cuCtxSetCurrent(void *context) {
    (void)context;
    return SUCCESS;
}

int cuMemAlloc_v2(void **place, size_t bytes) {
    (void)bytes;
    *place = place;
    return SUCCESS;
}

int cuMemsetD32_v2(void *place, unsigned value, size_t count) {
    (void)place, (void)value, (void)count;
    return SUCCESS;
}

int cuCtxSynchronize(void) { return SUCCESS; }
