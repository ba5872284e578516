/* SPDX-License-Identifier: BSD-2-Clause */
/* Byte streams: terminal in raw mode with an escape key, file, unix socket. */
#ifndef HOST_CHARDEV_H
#define HOST_CHARDEV_H

#include "host/loop.h"

struct chardev;

/* Ctrl-a x and Ctrl-a c, on a terminal only; called on the loop's thread with the lock held. */
struct chardev_keys {
    void (*quit)(void *arg);
    void (*prompt)(void *arg);
    void *arg;
};

/* Terminal (or pipe) on stdin/stdout. If stdin is a terminal it is put into raw mode and restored
 * on destroy, exit and fatal signals. */
WARN_UNUSED int chardev_stdio(struct chardev **out, struct loop *, const struct chardev_keys *);
WARN_UNUSED int chardev_file(struct chardev **out, const char *path, char *err, size_t err_len);
/* Listens at path; one client at a time; output while nobody is connected is dropped. */
WARN_UNUSED int chardev_unix(struct chardev **out, struct loop *, const char *path, char *err,
                             size_t err_len);
WARN_UNUSED int chardev_null(struct chardev **out);
void chardev_destroy(struct chardev *);

/* Output side for devices; several devices may share one. */
struct char_backend chardev_backend(struct chardev *);
/* Input goes to this sink (NULL: dropped). The prompt takes it over and gives it back. */
void chardev_set_sink(struct chardev *, const struct char_sink *);
struct char_sink chardev_sink(const struct chardev *); /* the one that is set */
void chardev_flush(struct chardev *);                  /* waits until written or 1 s */

#endif
