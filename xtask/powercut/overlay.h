/* One file as its process sees it and as the disk would show it after the power went away. */
#ifndef POWERCUT_OVERLAY_H
#define POWERCUT_OVERLAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes of one cached page. */
#define PAGE ((off_t)4096)

/* Everything written to one inode since its last fsync, shared by all descriptors of the process. */
struct overlay {
    dev_t dev;
    ino_t ino;
    pthread_mutex_t lock; /* guards everything below */
    off_t size;           /* size that the process sees */
    off_t kept;           /* bytes of the real file that still count; later ones read as zero */
    unsigned char **pages; /* changed pages by number, NULL where the real file holds the truth */
    size_t slots;
    bool dirty;
    bool unlinked; /* no name any more: nothing to keep once it is closed */
    int refs;      /* open descriptors of the program; guarded by the table's lock */
    int keeper;    /* our own descriptor while the program has none, or -1; guarded by the table's lock */
    struct overlay *next;
};

struct overlay *overlay_new(dev_t dev, ino_t ino, off_t size);
void overlay_free(struct overlay *o);

/* All of these want the overlay's lock held; fd is any open descriptor of the file that may do the transfer. */
ssize_t overlay_read(struct overlay *o, int fd, void *to, size_t n, off_t at);
ssize_t overlay_write(struct overlay *o, int fd, const void *from, size_t n, off_t at);
int overlay_truncate(struct overlay *o, int fd, off_t size);
int overlay_apply(struct overlay *o, int fd);

/* The C library's own calls, found by the preload before any use. */
extern ssize_t (*real_pread)(int, void *, size_t, off_t);
extern ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
extern int (*real_ftruncate)(int, off_t);

#endif
