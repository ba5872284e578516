/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop: one thread that waits for file descriptors and timers and calls back with the
 * owner's lock held. */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include <pthread.h>

#include "device/device.h"

struct loop;
struct loop_fd;

/* The loop's thread starts with loop_start; callbacks run on it with *lock held. */
WARN_UNUSED int loop_create(struct loop **out, pthread_mutex_t *lock);
WARN_UNUSED int loop_start(struct loop *);
void loop_stop(struct loop *); /* joins the thread; must not hold the lock; may be started again */
void loop_destroy(struct loop *);

/* Watches fd (not owned) for EPOLLIN/EPOLLOUT bits; calls fn(arg, ready events). All with the lock
 * held or before start. events 0: not watched at all until loop_mod_fd says otherwise. fn may
 * delete any watch, its own too. Regular files and /dev/null are always ready. */
WARN_UNUSED int loop_add_fd(struct loop *, int fd, uint32_t events,
                            void (*fn)(void *arg, uint32_t events), void *arg,
                            struct loop_fd **out);
void loop_mod_fd(struct loop *, struct loop_fd *, uint32_t events);
void loop_del_fd(struct loop *, struct loop_fd *);

/* Timers in CLOCK_MONOTONIC nanoseconds; fills a device_timer handle (fire and arg set by the
 * caller before). */
WARN_UNUSED int loop_add_timer(struct loop *, struct device_timer *);
void loop_del_timer(struct loop *, struct device_timer *);
/* A hook before each wait: may shorten *timeout_ms (-1: none), and one after (slirp needs both).
 * prepare may name descriptors for this one wait and done asks what became of them. */
struct loop_poll {
    void (*prepare)(void *arg, int *timeout_ms);
    void (*done)(void *arg);
    void *arg;
};
WARN_UNUSED int loop_add_poll(struct loop *, const struct loop_poll *);
void loop_del_poll(struct loop *, const void *arg); /* not from a hook */
/* Only from a prepare hook: an index for loop_poll_result, or -1 (out of memory). */
int loop_poll_fd(struct loop *, int fd, uint32_t events);
uint32_t loop_poll_result(struct loop *, int index); /* only from a done hook */
/* Wakes the loop from any thread. */
void loop_wake(struct loop *);

uint64_t host_now_ns(void); /* CLOCK_MONOTONIC */
extern const struct device_clock host_clock;

#endif
