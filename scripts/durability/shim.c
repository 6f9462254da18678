/* Fails or kills at the n-th call that changes a file below a folder; loaded with LD_PRELOAD.
 *
 * A child of scripts/durability/_driver.py arms it with `shim_arm`; unarmed, every call goes
 * through. What the C library writes of its own accord (a FILE's buffer that it flushes when the
 * program ends) is not seen; fwrite, which numpy uses, is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FULL, EIO_ONCE, TORN, KILL, KILL_TORN };

static char below[PATH_MAX];
static size_t below_length;
static int armed, mode;
static long target;
static atomic_long calls;
static char site[PATH_MAX + 32]; /* the call that was hit */

void shim_arm(const char *folder, int how, long nth) {
    strncpy(below, folder, sizeof below - 1);
    below_length = strlen(below);
    mode = how, target = nth, site[0] = 0;
    atomic_store(&calls, 0);
    armed = 1;
}
void shim_disarm(void) { armed = 0; }
long shim_calls(void) { return atomic_load(&calls); }
const char *shim_site(void) { return site; }

static int inside(const char *path) {
    return !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

/* What becomes of this call: 0 = goes through, else the error; *half = write half of it first. */
static int verdict(const char *name, const char *path, int grows, int *half) {
    long n = atomic_fetch_add(&calls, 1) + 1;
    *half = 0;
    if (mode == COUNT || n < target) return 0;
    if (n > target) return mode == FULL && grows ? ENOSPC : 0;
    snprintf(site, sizeof site, "%s %s", name, path + below_length);
    if (mode == KILL || (mode == KILL_TORN && !grows)) raise(SIGKILL);
    if (mode == KILL_TORN || mode == TORN) *half = grows;
    return mode == FULL ? ENOSPC : EIO;
}

/* After the half of a torn write. */
static void torn(void) {
    if (mode == KILL_TORN) raise(SIGKILL);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

#define FD(name, fd, grows, halfway, through) \
    char path[PATH_MAX]; \
    int half, why; \
    if (armed && path_of(fd, path) && (why = verdict(name, path, grows, &half))) { \
        if (half) { halfway; torn(); } \
        errno = why; \
        return -1; \
    } \
    return through

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    FD("write", fd, 1, (void)!real(fd, data, n / 2), real(fd, data, n));
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    REAL(pwrite);
    FD("pwrite", fd, 1, (void)!real(fd, data, n / 2, at), real(fd, data, n, at));
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(pwrite64);
    FD("pwrite", fd, 1, (void)!real(fd, data, n / 2, at), real(fd, data, n, at));
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(writev);
    FD("writev", fd, 1, (void)!real(fd, parts, n / 2), real(fd, parts, n));
}
ssize_t sendfile(int to, int from, off_t *at, size_t n) {
    REAL(sendfile);
    FD("sendfile", to, 1, (void)!real(to, from, at, n / 2), real(to, from, at, n));
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t n) {
    REAL(sendfile64);
    FD("sendfile", to, 1, (void)!real(to, from, at, n / 2), real(to, from, at, n));
}
ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t n, unsigned flags) {
    REAL(copy_file_range);
    FD("copy_file_range", to, 1, (void)!real(from, in, to, out, n / 2, flags),
       real(from, in, to, out, n, flags));
}
int fsync(int fd) {
    REAL(fsync);
    FD("fsync", fd, 0, , real(fd));
}
int fdatasync(int fd) {
    REAL(fdatasync);
    FD("fdatasync", fd, 0, , real(fd));
}
int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    FD("ftruncate", fd, 0, , real(fd, length));
}
int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    FD("ftruncate", fd, 0, , real(fd, length));
}
int fallocate(int fd, int flags, off_t at, off_t length) {
    REAL(fallocate);
    FD("fallocate", fd, 1, , real(fd, flags, at, length));
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file) {
    REAL(fwrite);
    char path[PATH_MAX];
    int half, why;
    if (armed && path_of(fileno(file), path) && (why = verdict("fwrite", path, 1, &half))) {
        size_t written = half ? real(data, size, n / 2, file) : 0;
        if (half) fflush(file), torn();
        errno = why;
        return written;
    }
    return real(data, size, n, file);
}

#define PATH(name, path, through) \
    int half, why; \
    if (armed && inside(path) && (why = verdict(name, path, 0, &half))) { \
        errno = why; \
        return -1; \
    } \
    return through

int rename(const char *from, const char *to) {
    REAL(rename);
    PATH("rename", to, real(from, to));
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(renameat);
    PATH("rename", to, real(from_at, from, to_at, to));
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL(renameat2);
    PATH("rename", to, real(from_at, from, to_at, to, flags));
}
int link(const char *from, const char *to) {
    REAL(link);
    PATH("link", to, real(from, to));
}

/* On a full disk taking away works. */
#define AWAY(name, path, through) \
    if (mode == FULL) return through; \
    PATH(name, path, through)

int unlink(const char *path) {
    REAL(unlink);
    AWAY("unlink", path, real(path));
}
int rmdir(const char *path) {
    REAL(rmdir);
    AWAY("rmdir", path, real(path));
}
int unlinkat(int folder, const char *name, int flags) {
    REAL(unlinkat);
    char full[2 * PATH_MAX];
    full[0] = 0;
    if (armed && *name != '/' && folder != AT_FDCWD && path_of(folder, full))
        strcat(strcat(full, "/"), name);
    else
        strcpy(full, name);
    AWAY("unlink", full, real(folder, name, flags));
}
int mkdir(const char *path, mode_t bits) {
    REAL(mkdir);
    PATH("mkdir", path, real(path, bits));
}
