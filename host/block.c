/* SPDX-License-Identifier: BSD-2-Clause */
/* Disk images: raw files and block devices, by preadv and pwritev. */
#include "host/block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SECTOR = 512,
    IOV_BATCH = 256,
    BOUNCE_ALIGN = 4096, /* enough for O_DIRECT on any device */
    BOUNCE_SIZE = 256 * 1024
};

struct block {
    int fd;
    uint64_t size;
    bool readonly, direct;
    uint8_t *bounce; /* for O_DIRECT with unaligned buffers */
};

/* One writer or any number of readers, held by the open file: a second disk of the same VM on the
 * same image conflicts too. */
static int lock_image(int fd, bool readonly)
{
    struct flock lock = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static const char *open_cause(int e, bool readonly)
{
    switch (e) {
    case -ENOENT: return "no such file";
    case -EISDIR: return "is a directory";
    case -EACCES:
    case -EPERM: return readonly ? "no permission to read" : "no permission to write (try ,ro)";
    case -EROFS: return "on a read-only file system (try ,ro)";
    case -EAGAIN: return "in use by another process or disk";
    case -EINVAL: return "cannot be opened with O_DIRECT";
    default: return strerror(-e);
    }
}

int block_open(struct block **out, const char *path, bool readonly, bool direct, char *err,
               size_t err_len)
{
    struct block *b = calloc(1, sizeof(*b));
    const char *cause = NULL;
    struct stat st;
    int e = -ENOMEM;

    if (!b)
        goto fail;
    b->readonly = readonly;
    b->direct = direct;
    /* O_NONBLOCK: a FIFO must not make us wait; it means nothing to files and disks. */
    b->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0) | O_CLOEXEC |
                           O_NONBLOCK | O_NOCTTY);
    if (b->fd < 0 || fstat(b->fd, &st) < 0) {
        e = -errno;
        goto fail;
    }
    e = -EINVAL;
    if (S_ISDIR(st.st_mode)) {
        e = -EISDIR;
        goto fail;
    } else if (S_ISREG(st.st_mode)) {
        b->size = (uint64_t)st.st_size;
    } else if (S_ISBLK(st.st_mode)) {
        if (ioctl(b->fd, BLKGETSIZE64, &b->size) < 0) {
            e = -errno;
            goto fail;
        }
    } else {
        cause = "neither a file nor a block device";
        goto fail;
    }
    if (!b->size || b->size % SECTOR) {
        cause = b->size ? "size is not a multiple of 512 bytes" : "is empty";
        goto fail;
    }
    e = lock_image(b->fd, readonly);
    if (e == -EACCES)
        e = -EAGAIN; /* POSIX allows either */
    if (e)
        goto fail;
    if (direct) {
        e = -posix_memalign((void **)&b->bounce, BOUNCE_ALIGN, BOUNCE_SIZE);
        if (e)
            goto fail;
    }
    *out = b;
    return 0;
fail:
    snprintf(err, err_len, "%s: %s", path, cause ? cause : open_cause(e, readonly));
    if (b && b->fd >= 0)
        close(b->fd);
    free(b);
    return e;
}

void block_close(struct block *b)
{
    if (!b)
        return;
    close(b->fd); /* drops the lock */
    free(b->bounce);
    free(b);
}

uint64_t block_size(const struct block *b) { return b->size; }
bool block_readonly(const struct block *b) { return b->readonly; }

/* Total length, or -EINVAL if the access leaves the image. */
static int check(const struct block *b, uint64_t offset, const struct iovec *iov, unsigned n,
                 uint64_t *total)
{
    uint64_t len = 0;
    for (unsigned i = 0; i < n; i++)
        if (__builtin_add_overflow(len, iov[i].iov_len, &len))
            return -EINVAL;
    *total = len;
    return range_ok(offset, len, b->size) ? 0 : -EINVAL;
}

static int transfer(struct block *b, uint64_t offset, const struct iovec *iov, unsigned n,
                    bool write)
{
    struct iovec part[IOV_BATCH];
    unsigned i = 0;
    size_t skip = 0; /* bytes of iov[i] that are done */

    for (;;) {
        unsigned k = 0;
        ssize_t done;
        while (i < n && skip == iov[i].iov_len) {
            i++;
            skip = 0;
        }
        if (i == n)
            return 0;
        for (; k < IOV_BATCH && i + k < n; k++)
            part[k] = iov[i + k];
        part[0].iov_base = (char *)part[0].iov_base + skip;
        part[0].iov_len -= skip;
        done = write ? pwritev(b->fd, part, (int)k, (off_t)offset)
                     : preadv(b->fd, part, (int)k, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        if (!done)
            return -EIO; /* the file became shorter under us */
        offset += (uint64_t)done;
        while (done) {
            size_t step = MIN((size_t)done, iov[i].iov_len - skip);
            skip += step;
            done -= (ssize_t)step;
            if (skip == iov[i].iov_len) {
                i++;
                skip = 0;
            }
        }
    }
}

/* O_DIRECT wants aligned memory, offset and length; the guest promises 512 bytes at most. */
static int transfer_bounced(struct block *b, uint64_t offset, const struct iovec *iov, unsigned n,
                            bool write)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        while (left) {
            size_t len = MIN(left, (size_t)BOUNCE_SIZE);
            struct iovec one = { b->bounce, len };
            int e;
            if (write)
                memcpy(b->bounce, p, len);
            e = transfer(b, offset, &one, 1, write);
            if (e)
                return e;
            if (!write)
                memcpy(p, b->bounce, len);
            p += len;
            left -= len;
            offset += len;
        }
    }
    return 0;
}

static int access_image(struct block *b, uint64_t offset, const struct iovec *iov, unsigned n,
                        bool write)
{
    uint64_t total;
    int e = check(b, offset, iov, n, &total);
    if (e)
        return e;
    if (b->direct) {
        uintptr_t bits = offset;
        for (unsigned i = 0; i < n; i++)
            bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
        e = bits % BOUNCE_ALIGN ? transfer_bounced(b, offset, iov, n, write)
                                : transfer(b, offset, iov, n, write);
        if (e != -EINVAL)
            return e;
        /* A device with blocks larger than the guest's: go through the page cache from now on. */
        if (fcntl(b->fd, F_SETFL, b->readonly ? O_RDONLY : O_RDWR) < 0)
            return -errno;
        b->direct = false;
    }
    return transfer(b, offset, iov, n, write);
}

int block_read(struct block *b, uint64_t offset, const struct iovec *iov, unsigned n)
{
    return access_image(b, offset, iov, n, false);
}

int block_write(struct block *b, uint64_t offset, const struct iovec *iov, unsigned n)
{
    return b->readonly ? -EROFS : access_image(b, offset, iov, n, true);
}

int block_flush(struct block *b)
{
    if (b->readonly)
        return 0;
    return fdatasync(b->fd) < 0 ? -errno : 0;
}

static int write_zeroes(struct block *b, uint64_t offset, uint64_t len)
{
    static const uint8_t zero[16384];
    while (len) {
        uint64_t n = MIN(len, (uint64_t)sizeof(zero));
        struct iovec iov = { (void *)(uintptr_t)zero, n };
        int e = access_image(b, offset, &iov, 1, true);
        if (e)
            return e;
        offset += n;
        len -= n;
    }
    return 0;
}

int block_discard(struct block *b, uint64_t offset, uint64_t len, bool zero)
{
    int e;
    if (b->readonly)
        return -EROFS;
    if (!range_ok(offset, len, b->size))
        return -EINVAL;
    if (!len)
        return 0;
    /* A hole reads as zeroes, so it serves both. */
    do
        e = fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len)
                ? -errno
                : 0;
    while (e == -EINTR);
    if (e && zero)
        return write_zeroes(b, offset, len);
    return e;
}
