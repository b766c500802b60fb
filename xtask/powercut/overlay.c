/* Pages of one file that were written but not yet synced. */
#define _GNU_SOURCE
#include "overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct overlay *overlay_new(dev_t dev, ino_t ino, off_t size) {
    struct overlay *o = calloc(1, sizeof *o);
    if (!o) abort();
    o->dev = dev;
    o->ino = ino;
    o->size = o->kept = size;
    o->keeper = -1;
    pthread_mutex_init(&o->lock, NULL);
    return o;
}

static void drop_pages(struct overlay *o, size_t from) {
    for (size_t i = from; i < o->slots; i++) {
        free(o->pages[i]);
        o->pages[i] = NULL;
    }
}

void overlay_free(struct overlay *o) {
    drop_pages(o, 0);
    free(o->pages);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* Reads what the disk holds, counting bytes past `kept` as zero, so that a shrunk and regrown file shows no old data. */
static int read_disk(struct overlay *o, int fd, unsigned char *to, size_t n, off_t at) {
    size_t want = 0;
    if (at < o->kept) {
        off_t left = o->kept - at;
        want = left < (off_t)n ? (size_t)left : n;
    }
    size_t got = 0;
    while (got < want) {
        ssize_t r = real_pread(fd, to + got, want - got, at + (off_t)got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return -1;
        if (r == 0) break;
        got += (size_t)r;
    }
    memset(to + got, 0, n - got);
    return 0;
}

static unsigned char *page_for_write(struct overlay *o, int fd, size_t number, bool whole) {
    if (number >= o->slots) {
        size_t slots = o->slots ? o->slots : 64;
        while (slots <= number) slots *= 2;
        unsigned char **pages = realloc(o->pages, slots * sizeof *pages);
        if (!pages) abort();
        memset(pages + o->slots, 0, (slots - o->slots) * sizeof *pages);
        o->pages = pages;
        o->slots = slots;
    }
    if (!o->pages[number]) {
        unsigned char *page = malloc((size_t)PAGE);
        if (!page) abort();
        if (!whole && read_disk(o, fd, page, (size_t)PAGE, (off_t)number * PAGE) < 0) {
            free(page);
            return NULL;
        }
        o->pages[number] = page;
    }
    return o->pages[number];
}

ssize_t overlay_read(struct overlay *o, int fd, void *to, size_t n, off_t at) {
    if (at >= o->size) return 0;
    if ((off_t)n > o->size - at) n = (size_t)(o->size - at);
    size_t done = 0;
    while (done < n) {
        off_t pos = at + (off_t)done;
        size_t number = (size_t)(pos / PAGE), inside = (size_t)(pos % PAGE);
        size_t take = (size_t)PAGE - inside;
        if (take > n - done) take = n - done;
        if (number < o->slots && o->pages[number]) {
            memcpy((char *)to + done, o->pages[number] + inside, take);
        } else if (read_disk(o, fd, (unsigned char *)to + done, take, pos) < 0) {
            return done ? (ssize_t)done : -1;
        }
        done += take;
    }
    return (ssize_t)n;
}

ssize_t overlay_write(struct overlay *o, int fd, const void *from, size_t n, off_t at) {
    size_t done = 0;
    while (done < n) {
        off_t pos = at + (off_t)done;
        size_t inside = (size_t)(pos % PAGE), take = (size_t)PAGE - inside;
        if (take > n - done) take = n - done;
        unsigned char *page = page_for_write(o, fd, (size_t)(pos / PAGE), take == (size_t)PAGE);
        if (!page) return -1;
        memcpy(page + inside, (const char *)from + done, take);
        done += take;
    }
    if (n && at + (off_t)n > o->size) o->size = at + (off_t)n;
    if (n) o->dirty = true;
    return (ssize_t)n;
}

int overlay_truncate(struct overlay *o, int fd, off_t size) {
    if (size < 0) {
        errno = EINVAL;
        return -1;
    }
    if (size < o->size) {
        size_t number = (size_t)(size / PAGE), inside = (size_t)(size % PAGE);
        if (number < o->slots && o->pages[number] && inside) {
            memset(o->pages[number] + inside, 0, (size_t)PAGE - inside);
            number++;
        } else if (inside) {
            number++;
        }
        drop_pages(o, number);
        if (size < o->kept) o->kept = size;
    }
    (void)fd;
    if (size != o->size) o->dirty = true;
    o->size = size;
    return 0;
}

static int write_all(int fd, const unsigned char *from, size_t n, off_t at) {
    while (n) {
        ssize_t w = real_pwrite(fd, from, n, at);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return -1;
        from += w;
        n -= (size_t)w;
        at += w;
    }
    return 0;
}

/* Brings the real file up to what the process sees. A kill in the middle leaves some pages new and some old, which is
 * what a power cut during an fsync may do. */
int overlay_apply(struct overlay *o, int fd) {
    if (!o->dirty) return 0;
    if (real_ftruncate(fd, o->kept) < 0) return -1;
    for (size_t i = 0; i < o->slots; i++) {
        if (!o->pages[i]) continue;
        off_t at = (off_t)i * PAGE;
        if (at >= o->size) break;
        off_t left = o->size - at;
        if (write_all(fd, o->pages[i], left < PAGE ? (size_t)left : (size_t)PAGE, at) < 0) return -1;
    }
    if (real_ftruncate(fd, o->size) < 0) return -1;
    drop_pages(o, 0);
    o->kept = o->size;
    o->dirty = false;
    return 0;
}
