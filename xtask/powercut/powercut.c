/* A preloaded library that takes the power away: a killed process loses every write after its last fsync or fdatasync.
 *
 * A plain kill -9 does not test durability, because the kernel still holds what was written. Under this library writes
 * to regular files below POWERCUT_DIR stay in the memory of the process until the file is synced, so that a kill forgets
 * exactly what a power cut would be allowed to forget. A clean exit writes everything.
 *
 * Not modelled: names (create, rename, unlink take effect at once), writes through mmap (SQLite's *-shm, which recovery
 * rebuilds, is left alone), and stdio streams. */
#define _GNU_SOURCE
#include "overlay.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 65536

struct slot {
    struct overlay *file; /* NULL: not ours */
    bool writes;
    bool appends;
};

static struct slot slots[MAX_FD];
static struct overlay *files;
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER; /* guards slots, files and every refs; taken before a file's lock */
static char root[PATH_MAX];
static size_t root_len;

ssize_t (*real_pread)(int, void *, size_t, off_t);
ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
int (*real_ftruncate)(int, off_t);
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_readv)(int, const struct iovec *, int);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_preadv)(int, const struct iovec *, int, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static off_t (*real_lseek)(int, off_t, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_fcntl)(int, int, ...);
static int (*real_dup)(int);
static int (*real_dup2)(int, int);
static int (*real_dup3)(int, int, int);
static int (*real_fstat)(int, struct stat *);
static int (*real_fstatat)(int, const char *, struct stat *, int);
static int (*real_statx)(int, const char *, int, unsigned, struct statx *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_fallocate)(int, int, off_t, off_t);
static ssize_t (*real_copy_file_range)(int, off64_t *, int, off64_t *, size_t, unsigned);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *need(const char *name) {
    void *f = dlsym(RTLD_NEXT, name);
    if (!f) {
        fprintf(stderr, "powercut: the C library has no %s\n", name);
        abort();
    }
    return f;
}

static void resolve(void) {
    real_pread = need("pread64"), real_pwrite = need("pwrite64"), real_ftruncate = need("ftruncate64");
    real_open = need("open64"), real_openat = need("openat64"), real_close = need("close");
    real_read = need("read"), real_write = need("write"), real_readv = need("readv"), real_writev = need("writev");
    real_preadv = need("preadv64"), real_pwritev = need("pwritev64"), real_lseek = need("lseek64");
    real_fsync = need("fsync"), real_fdatasync = need("fdatasync"), real_fcntl = need("fcntl64");
    real_dup = need("dup"), real_dup2 = need("dup2"), real_dup3 = need("dup3");
    real_fstat = need("fstat64"), real_fstatat = need("fstatat64"), real_statx = need("statx");
    real_unlinkat = need("unlinkat"), real_renameat = need("renameat");
    real_fallocate = need("fallocate64"), real_copy_file_range = need("copy_file_range");
    const char *dir = getenv("POWERCUT_DIR");
    if (dir && realpath(dir, root)) root_len = strlen(root);
}

static void ready(void) { pthread_once(&once, resolve); }

/* True for a regular file below POWERCUT_DIR that is no shared-memory index. */
static bool ours(int fd, struct stat *st) {
    if (!root_len || fd < 0 || fd >= MAX_FD) return false;
    if (real_fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) return false;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= (ssize_t)root_len) return false;
    path[n] = 0;
    if (strncmp(path, root, root_len) != 0 || path[root_len] != '/') return false;
    return n < 4 || strcmp(path + n - 4, "-shm") != 0;
}

static struct overlay *find(dev_t dev, ino_t ino) {
    for (struct overlay *o = files; o; o = o->next)
        if (o->dev == dev && o->ino == ino) return o;
    return NULL;
}

/* Wants the table's lock. */
static void remove_file(struct overlay *o) {
    for (struct overlay **p = &files; *p; p = &(*p)->next) {
        if (*p == o) {
            *p = o->next;
            break;
        }
    }
    if (o->keeper >= 0) real_close(o->keeper);
    overlay_free(o);
}

static void adopt(int fd, int flags) {
    struct stat st;
    if (!ours(fd, &st)) return;
    pthread_mutex_lock(&table);
    struct overlay *o = find(st.st_dev, st.st_ino);
    if (!o) {
        o = overlay_new(st.st_dev, st.st_ino, st.st_size);
        o->next = files;
        files = o;
    }
    o->refs++;
    slots[fd] = (struct slot){o, (flags & O_ACCMODE) != O_RDONLY, (flags & O_APPEND) != 0};
    pthread_mutex_unlock(&table);
}

/* The file behind a descriptor, locked, or NULL. */
static struct overlay *enter(int fd) {
    if (fd < 0 || fd >= MAX_FD || !slots[fd].file) return NULL;
    pthread_mutex_lock(&table);
    struct overlay *o = slots[fd].file;
    if (o) pthread_mutex_lock(&o->lock);
    pthread_mutex_unlock(&table);
    return o;
}

static void leave(struct overlay *o) { pthread_mutex_unlock(&o->lock); }

/* Forgets a descriptor before it is closed. A file that still has unsynced bytes is kept by a descriptor of our own: it
 * is opened anew, since a duplicate would go on holding the program's flock. */
static void release(int fd) {
    if (fd < 0 || fd >= MAX_FD || !slots[fd].file) return;
    pthread_mutex_lock(&table);
    struct overlay *o = slots[fd].file;
    if (o) {
        slots[fd].file = NULL;
        pthread_mutex_lock(&o->lock);
        if (o->dirty && o->keeper < 0 && !o->unlinked) {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            o->keeper = real_open(link, O_RDWR | O_CLOEXEC);
        }
        bool drop = --o->refs == 0 && (o->unlinked || !o->dirty);
        /* Closing the keeper while the program holds POSIX locks on the file would release them, so it stays open until
         * nobody has the file. */
        pthread_mutex_unlock(&o->lock);
        if (drop) remove_file(o);
    }
    pthread_mutex_unlock(&table);
}

/* A name went away: when it was the last one, the unsynced bytes have no file to go to. */
static void forget(const struct stat *st) {
    if (!S_ISREG(st->st_mode) || st->st_nlink > 1) return;
    pthread_mutex_lock(&table);
    struct overlay *o = find(st->st_dev, st->st_ino);
    if (o) {
        o->unlinked = true;
        if (o->refs == 0) remove_file(o);
    }
    pthread_mutex_unlock(&table);
}

__attribute__((constructor)) static void start(void) { ready(); }

/* A clean end of the process is no power cut. */
__attribute__((destructor)) static void finish(void) {
    pthread_mutex_lock(&table);
    for (int fd = 0; fd < MAX_FD; fd++) {
        struct overlay *o = slots[fd].file;
        if (o && slots[fd].writes && !o->unlinked) overlay_apply(o, fd);
    }
    for (struct overlay *o = files; o; o = o->next)
        if (o->keeper >= 0 && !o->unlinked) overlay_apply(o, o->keeper);
    pthread_mutex_unlock(&table);
}

/* ---- open and close ---- */

static int after_open(int fd, int flags) {
    if (fd < 0) return fd;
    adopt(fd, flags);
    if (flags & O_TRUNC) {
        struct overlay *o = enter(fd);
        int r = o ? overlay_truncate(o, fd, 0) : 0;
        if (o) leave(o);
        (void)r;
    }
    return fd;
}

/* O_TRUNC must wait for the sync like any write, so it is taken out where the file may be ours. */
static int without_truncate(int dir, const char *path, int flags) {
    struct stat st;
    if (!(flags & O_TRUNC) || !root_len) return flags;
    if (real_fstatat(dir, path, &st, 0) < 0 || !S_ISREG(st.st_mode)) return flags;
    int probe = real_openat(dir, path, O_PATH | O_CLOEXEC);
    bool mine = probe >= 0 && ours(probe, &st);
    if (probe >= 0) real_close(probe);
    return mine ? flags & ~O_TRUNC : flags;
}

#define MODE_OF(flags, mode)                              \
    do {                                                  \
        if ((flags) & (O_CREAT | __O_TMPFILE)) {          \
            va_list args;                                 \
            va_start(args, flags);                        \
            mode = va_arg(args, mode_t);                  \
            va_end(args);                                 \
        }                                                 \
    } while (0)

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    ready();
    return after_open(real_open(path, without_truncate(AT_FDCWD, path, flags), mode), flags);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return open(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    ready();
    return after_open(real_openat(dir, path, without_truncate(dir, path, flags), mode), flags);
}

int openat64(int dir, const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return openat(dir, path, flags, mode);
}

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    ready();
    release(fd);
    return real_close(fd);
}

static int duplicated(int from, int to) {
    if (to < 0 || to >= MAX_FD || from < 0 || from >= MAX_FD) return to;
    pthread_mutex_lock(&table);
    slots[to] = slots[from];
    if (slots[to].file) slots[to].file->refs++;
    pthread_mutex_unlock(&table);
    return to;
}

int dup(int fd) {
    ready();
    return duplicated(fd, real_dup(fd));
}

int dup2(int fd, int to) {
    ready();
    if (fd != to) release(to);
    int r = real_dup2(fd, to);
    return fd == to ? r : duplicated(fd, r);
}

int dup3(int fd, int to, int flags) {
    ready();
    if (fd != to) release(to);
    return duplicated(fd, real_dup3(fd, to, flags));
}

int fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    ready();
    int r = real_fcntl(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, r) : r;
}

int fcntl64(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fcntl(fd, command, argument);
}

/* ---- reading and writing ---- */

ssize_t pread64(int fd, void *to, size_t n, off_t at) {
    ready();
    struct overlay *o = enter(fd);
    if (!o) return real_pread(fd, to, n, at);
    ssize_t r = overlay_read(o, fd, to, n, at);
    leave(o);
    return r;
}

ssize_t pread(int fd, void *to, size_t n, off_t at) { return pread64(fd, to, n, at); }

/* Reads of a partly written page need a readable descriptor; a write-only one is read through /proc. */
static ssize_t write_at(struct overlay *o, int fd, const void *from, size_t n, off_t at) {
    int access = real_fcntl(fd, F_GETFL) & O_ACCMODE;
    if (access == O_RDONLY) {
        errno = EBADF;
        return -1;
    }
    if (access == O_RDWR) return overlay_write(o, fd, from, n, at);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int readable = real_open(link, O_RDONLY | O_CLOEXEC);
    if (readable < 0) return -1;
    ssize_t r = overlay_write(o, readable, from, n, at);
    real_close(readable);
    return r;
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at) {
    ready();
    struct overlay *o = enter(fd);
    if (!o) return real_pwrite(fd, from, n, at);
    ssize_t r = write_at(o, fd, from, n, at);
    leave(o);
    return r;
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at) { return pwrite64(fd, from, n, at); }

ssize_t read(int fd, void *to, size_t n) {
    ready();
    struct overlay *o = enter(fd);
    if (!o) return real_read(fd, to, n);
    off_t at = real_lseek(fd, 0, SEEK_CUR);
    ssize_t r = at < 0 ? -1 : overlay_read(o, fd, to, n, at);
    if (r > 0) real_lseek(fd, at + r, SEEK_SET);
    leave(o);
    return r;
}

ssize_t write(int fd, const void *from, size_t n) {
    ready();
    struct overlay *o = enter(fd);
    if (!o) return real_write(fd, from, n);
    off_t at = slots[fd].appends ? o->size : real_lseek(fd, 0, SEEK_CUR);
    ssize_t r = at < 0 ? -1 : write_at(o, fd, from, n, at);
    if (r > 0) real_lseek(fd, at + r, SEEK_SET);
    leave(o);
    return r;
}

/* One vector call as single calls: short counts are allowed, so the first short one ends it. */
#define EACH(call)                                        \
    ssize_t done = 0;                                     \
    for (int i = 0; i < count; i++) {                     \
        ssize_t r = (call);                               \
        if (r < 0) return done ? done : r;                \
        done += r;                                        \
        if ((size_t)r < parts[i].iov_len) break;          \
    }                                                     \
    return done

static bool tracked(int fd) { return fd >= 0 && fd < MAX_FD && slots[fd].file; }

ssize_t readv(int fd, const struct iovec *parts, int count) {
    ready();
    if (!tracked(fd)) return real_readv(fd, parts, count);
    EACH(read(fd, parts[i].iov_base, parts[i].iov_len));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ready();
    if (!tracked(fd)) return real_writev(fd, parts, count);
    EACH(write(fd, parts[i].iov_base, parts[i].iov_len));
}

ssize_t preadv64(int fd, const struct iovec *parts, int count, off_t at) {
    ready();
    if (!tracked(fd)) return real_preadv(fd, parts, count, at);
    EACH(pread64(fd, parts[i].iov_base, parts[i].iov_len, at + done));
}

ssize_t preadv(int fd, const struct iovec *parts, int count, off_t at) { return preadv64(fd, parts, count, at); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
    ready();
    if (!tracked(fd)) return real_pwritev(fd, parts, count, at);
    EACH(pwrite64(fd, parts[i].iov_base, parts[i].iov_len, at + done));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }

/* A copy inside the kernel would miss the unsynced pages; callers fall back to read and write. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags) {
    ready();
    if (tracked(in) || tracked(out)) {
        errno = ENOSYS;
        return -1;
    }
    return real_copy_file_range(in, in_at, out, out_at, n, flags);
}

off_t lseek64(int fd, off_t offset, int whence) {
    ready();
    struct overlay *o = whence == SEEK_END ? enter(fd) : NULL;
    if (!o) return real_lseek(fd, offset, whence);
    off_t r = real_lseek(fd, o->size + offset, SEEK_SET);
    leave(o);
    return r;
}

off_t lseek(int fd, off_t offset, int whence) { return lseek64(fd, offset, whence); }

int ftruncate64(int fd, off_t size) {
    ready();
    struct overlay *o = enter(fd);
    if (!o) return real_ftruncate(fd, size);
    int r = overlay_truncate(o, fd, size);
    leave(o);
    return r;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Space is reserved without writing: only the size that the process sees grows. */
int fallocate64(int fd, int mode, off_t at, off_t n) {
    ready();
    struct overlay *o = enter(fd);
    if (!o) return real_fallocate(fd, mode, at, n);
    int r = 0;
    if (mode & FALLOC_FL_KEEP_SIZE) r = 0;
    else if (mode != 0) errno = EOPNOTSUPP, r = -1;
    else if (at + n > o->size) r = overlay_truncate(o, fd, at + n);
    leave(o);
    return r;
}

int fallocate(int fd, int mode, off_t at, off_t n) { return fallocate64(fd, mode, at, n); }

int posix_fallocate64(int fd, off_t at, off_t n) { return fallocate64(fd, 0, at, n) < 0 ? errno : 0; }
int posix_fallocate(int fd, off_t at, off_t n) { return posix_fallocate64(fd, at, n); }

/* ---- the moment of truth ---- */

static int sync_file(int fd, int (*real)(int)) {
    struct overlay *o = enter(fd);
    if (o) {
        int r = 0;
        if (o->dirty && !slots[fd].writes) {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            if (o->keeper < 0) o->keeper = real_open(link, O_RDWR | O_CLOEXEC);
            r = o->keeper < 0 ? -1 : overlay_apply(o, o->keeper);
        } else {
            r = overlay_apply(o, fd);
        }
        leave(o);
        if (r < 0) return r;
    }
    return real(fd);
}

int fsync(int fd) {
    ready();
    return sync_file(fd, real_fsync);
}

int fdatasync(int fd) {
    ready();
    return sync_file(fd, real_fdatasync);
}

/* ---- sizes ---- */

static bool seen_size(dev_t dev, ino_t ino, off_t *size) {
    bool known = false;
    pthread_mutex_lock(&table);
    struct overlay *o = find(dev, ino);
    if (o) {
        pthread_mutex_lock(&o->lock);
        *size = o->size;
        known = true;
        pthread_mutex_unlock(&o->lock);
    }
    pthread_mutex_unlock(&table);
    return known;
}

static int sized(int r, struct stat *st) {
    off_t size;
    if (r == 0 && files && S_ISREG(st->st_mode) && seen_size(st->st_dev, st->st_ino, &size)) {
        st->st_size = size;
        st->st_blocks = (size + 511) / 512;
    }
    return r;
}

int fstat(int fd, struct stat *st) {
    ready();
    return sized(real_fstat(fd, st), st);
}

int fstatat(int dir, const char *path, struct stat *st, int flags) {
    ready();
    return sized(real_fstatat(dir, path, st, flags), st);
}

int stat(const char *path, struct stat *st) { return fstatat(AT_FDCWD, path, st, 0); }
int lstat(const char *path, struct stat *st) { return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW); }
int fstat64(int fd, struct stat64 *st) { return fstat(fd, (struct stat *)st); }
int stat64(const char *path, struct stat64 *st) { return stat(path, (struct stat *)st); }
int lstat64(const char *path, struct stat64 *st) { return lstat(path, (struct stat *)st); }
int fstatat64(int dir, const char *path, struct stat64 *st, int flags) {
    return fstatat(dir, path, (struct stat *)st, flags);
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st) {
    ready();
    int r = real_statx(dir, path, flags, mask, st);
    if (r != 0 || !files || !S_ISREG(st->stx_mode)) return r;
    /* statx splits the device number; ask again in the form that the table uses. */
    struct stat same;
    off_t size;
    if (real_fstatat(dir, path, &same, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) == 0 &&
        seen_size(same.st_dev, same.st_ino, &size))
        st->stx_size = (unsigned long long)size;
    return r;
}

/* ---- names ---- */

int unlinkat(int dir, const char *path, int flags) {
    ready();
    struct stat st;
    bool known = files && real_fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    int r = real_unlinkat(dir, path, flags);
    if (r == 0 && known) forget(&st);
    return r;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    ready();
    struct stat st;
    bool replaced = files && real_fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0;
    int r = real_renameat(from_dir, from, to_dir, to);
    if (r == 0 && replaced) forget(&st);
    return r;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
