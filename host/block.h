/* SPDX-License-Identifier: BSD-2-Clause */
/* Disk images. Raw files and block devices; exclusive lock; optional O_DIRECT. */
#ifndef HOST_BLOCK_H
#define HOST_BLOCK_H

#include <sys/uio.h>

#include "lib/bits.h"

struct block;

/* Opens an image. -errno with one line in err (names the file and the cause: missing, directory, no
 * permission, in use by another process, size not a multiple of 512). */
WARN_UNUSED int block_open(struct block **out, const char *path, bool readonly, bool direct,
                           char *err, size_t err_len);
void block_close(struct block *);
uint64_t block_size(const struct block *); /* bytes */
bool block_readonly(const struct block *);
/* Synchronous scatter/gather access; whole range must lie inside. 0 or -errno. */
WARN_UNUSED int block_read(struct block *, uint64_t offset, const struct iovec *, unsigned n);
WARN_UNUSED int block_write(struct block *, uint64_t offset, const struct iovec *, unsigned n);
WARN_UNUSED int block_flush(struct block *);
WARN_UNUSED int block_discard(struct block *, uint64_t offset, uint64_t len, bool zero);

#endif
