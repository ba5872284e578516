/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: ppoll() over a table rebuilt before each wait. A VM has a handful of descriptors,
 * so the table is cheap, and unlike an epoll set it cannot go stale when an owner closes a
 * descriptor; it also takes regular files and /dev/null.
 */
#include "host/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
                   EPOLLHUP == POLLHUP && EPOLLPRI == POLLPRI,
               "the event bits of epoll and poll are the same on Linux");

enum { MAX_POLLS = 8 };

struct loop_fd {
    struct loop_fd *next;
    int fd;
    uint32_t events;
    void (*fn)(void *arg, uint32_t events);
    void *arg;
    int index; /* in the table of the current wait, -1: not in it */
    bool dead; /* deleted; freed before the next wait */
};

struct loop_timer {
    struct loop_timer *next;
    struct loop *loop;
    struct device_timer *timer;
    uint64_t deadline;
    bool dead;
};

/* Everything but `woken` and `stop` under *lock. */
struct loop {
    pthread_mutex_t *lock;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    atomic_bool woken; /* a wake-up is on its way already */
    int wake_fd;
    struct loop_fd *fds;
    struct loop_timer *timers;
    struct loop_poll poll[MAX_POLLS];
    unsigned polls;
    struct pollfd *table;
    unsigned count, capacity;
    uint64_t sleeping_until; /* 0: not in a wait */
};

int loop_create(struct loop **out, pthread_mutex_t *lock)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->lock = lock;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0) {
        int e = -errno;
        free(l);
        return e;
    }
    *out = l;
    return 0;
}

void loop_wake(struct loop *l)
{
    uint64_t one = 1;
    if (!atomic_exchange(&l->woken, true) && write(l->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full, so it is readable: the loop wakes */
}

static void sweep(struct loop *l)
{
    for (struct loop_fd **p = &l->fds, *f; (f = *p);) {
        f->index = -1;
        if (f->dead) {
            *p = f->next;
            free(f);
        } else {
            p = &f->next;
        }
    }
    for (struct loop_timer **p = &l->timers, *t; (t = *p);) {
        if (t->dead) {
            *p = t->next;
            free(t);
        } else {
            p = &t->next;
        }
    }
}

int loop_poll_fd(struct loop *l, int fd, uint32_t events)
{
    if (l->count == l->capacity) {
        unsigned capacity = l->capacity ? 2 * l->capacity : 16;
        struct pollfd *t = realloc(l->table, capacity * sizeof(*t));
        if (!t)
            return -1;
        l->table = t;
        l->capacity = capacity;
    }
    l->table[l->count] = (struct pollfd){ .fd = fd, .events = (short)events };
    return (int)l->count++;
}

uint32_t loop_poll_result(struct loop *l, int index)
{
    return index >= 0 && (unsigned)index < l->count ? (uint16_t)l->table[index].revents : 0;
}

/* Fills the table and returns when the wait must end (UINT64_MAX: open end). */
static uint64_t prepare(struct loop *l)
{
    uint64_t deadline = UINT64_MAX;
    sweep(l);
    l->count = 0;
    if (loop_poll_fd(l, l->wake_fd, POLLIN) < 0)
        return 0;
    for (struct loop_fd *f = l->fds; f; f = f->next)
        if (f->events)
            f->index = loop_poll_fd(l, f->fd, f->events);
    for (unsigned i = 0; i < l->polls; i++) {
        int ms = -1;
        l->poll[i].prepare(l->poll[i].arg, &ms);
        if (ms >= 0)
            deadline = MIN(deadline, host_now_ns() + (uint64_t)ms * 1000000u);
    }
    for (struct loop_timer *t = l->timers; t; t = t->next)
        if (!t->dead)
            deadline = MIN(deadline, t->deadline);
    return deadline;
}

static void dispatch(struct loop *l)
{
    uint64_t now;
    for (struct loop_fd *f = l->fds; f; f = f->next) {
        uint32_t ready = f->dead || f->index < 0 ? 0 : loop_poll_result(l, f->index);
        /* The owner may have lost interest since the wait began. */
        ready &= f->events | POLLERR | POLLHUP | POLLNVAL;
        if (ready && f->events)
            f->fn(f->arg, ready);
    }
    for (unsigned i = 0; i < l->polls; i++)
        l->poll[i].done(l->poll[i].arg);
    now = host_now_ns();
    for (struct loop_timer *t = l->timers; t; t = t->next) {
        if (t->dead || t->deadline > now)
            continue;
        t->deadline = UINT64_MAX; /* one shot; fire may set it anew */
        t->timer->fire(t->timer->arg);
    }
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    pthread_mutex_lock(l->lock);
    while (!l->stop) {
        struct timespec ts, *timeout = NULL;
        uint64_t deadline = prepare(l), now = host_now_ns(), wait, drained;
        if (deadline != UINT64_MAX) {
            wait = deadline > now ? deadline - now : 0;
            ts.tv_sec = (time_t)(wait / 1000000000u);
            ts.tv_nsec = (long)(wait % 1000000000u);
            timeout = &ts;
        }
        l->sleeping_until = deadline;
        pthread_mutex_unlock(l->lock);
        int n = ppoll(l->table, l->count, timeout, NULL);
        pthread_mutex_lock(l->lock);
        l->sleeping_until = 0;
        if (n < 0)
            for (unsigned i = 0; i < l->count; i++)
                l->table[i].revents = 0;
        if (n > 0 && l->table[0].revents) {
            if (read(l->wake_fd, &drained, sizeof(drained)) < 0)
                drained = 0;
            atomic_store(&l->woken, false);
        }
        dispatch(l);
    }
    pthread_mutex_unlock(l->lock);
    return NULL;
}

int loop_start(struct loop *l)
{
    sigset_t all, old;
    int e;
    l->stop = false;
    /* Signals belong to the vCPU threads (kicks) and to the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = -pthread_create(&l->thread, NULL, loop_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->running = !e;
    return e;
}

void loop_stop(struct loop *l)
{
    if (!l->running)
        return;
    l->stop = true;
    loop_wake(l);
    pthread_join(l->thread, NULL);
    l->running = false;
}

void loop_destroy(struct loop *l)
{
    if (!l)
        return;
    loop_stop(l);
    for (struct loop_fd *f = l->fds; f; f = f->next)
        f->dead = true;
    for (struct loop_timer *t = l->timers; t; t = t->next)
        t->dead = true;
    sweep(l);
    close(l->wake_fd);
    free(l->table);
    free(l);
}

int loop_add_fd(struct loop *l, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events),
                void *arg, struct loop_fd **out)
{
    struct loop_fd *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct loop_fd){ l->fds, fd, events, fn, arg, -1, false };
    l->fds = f;
    *out = f;
    loop_wake(l);
    return 0;
}

void loop_mod_fd(struct loop *l, struct loop_fd *f, uint32_t events)
{
    if (f->events == events)
        return;
    f->events = events;
    loop_wake(l);
}

void loop_del_fd(struct loop *l, struct loop_fd *f)
{
    if (!f)
        return;
    f->dead = true;
    loop_wake(l);
}

static void timer_set(struct device_timer *timer, uint64_t deadline_ns)
{
    struct loop_timer *t = timer->host;
    t->deadline = deadline_ns;
    if (deadline_ns < t->loop->sleeping_until)
        loop_wake(t->loop);
}

int loop_add_timer(struct loop *l, struct device_timer *timer)
{
    struct loop_timer *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    *t = (struct loop_timer){ l->timers, l, timer, UINT64_MAX, false };
    l->timers = t;
    timer->set = timer_set;
    timer->host = t;
    return 0;
}

void loop_del_timer(struct loop *l, struct device_timer *timer)
{
    struct loop_timer *t = timer->host;
    (void)l;
    if (t)
        t->dead = true;
    timer->host = NULL;
}

int loop_add_poll(struct loop *l, const struct loop_poll *p)
{
    if (l->polls == MAX_POLLS)
        return -ENOSPC;
    l->poll[l->polls++] = *p;
    loop_wake(l);
    return 0;
}

void loop_del_poll(struct loop *l, const void *arg)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->polls; i++)
        if (l->poll[i].arg != arg)
            l->poll[n++] = l->poll[i];
    l->polls = n;
}
