/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User-mode network through libslirp 4.7: the guest sees 10.0.2.0/24 with a gateway and DHCP server
 * at .2, DNS at .3 and itself at .15, as with other monitors.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "host/net.h"
#include "lib/log.h"

struct net {
    struct loop *loop;
    Slirp *slirp;
    bool (*receive)(void *arg, const void *frame, size_t len);
    void *arg;
    unsigned warned;
};

struct net_timer {
    struct device_timer t;
    struct loop *loop;
};

static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
    struct net *n = opaque;
    n->receive(n->arg, buf, len);
    return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
    struct net *n = opaque;
    if (log_limit(&n->warned, 8))
        log_warn(LOG_NET, "network: %s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
    (void)opaque;
    return (int64_t)host_now_ns();
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    struct net *n = opaque;
    struct net_timer *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->loop = n->loop;
    t->t.fire = cb;
    t->t.arg = cb_opaque;
    if (loop_add_timer(n->loop, &t->t)) {
        free(t);
        return NULL;
    }
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct net_timer *t = timer;
    (void)opaque;
    if (t)
        loop_del_timer(t->loop, &t->t);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct net_timer *t = timer;
    (void)opaque;
    if (t)
        t->t.set(&t->t, expire_ms < 0 ? 0 : (uint64_t)expire_ms * 1000000u);
}

/* The descriptors are asked for before every wait; nothing to keep. */
static void poll_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void notify(void *opaque)
{
    struct net *n = opaque;
    loop_wake(n->loop);
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = poll_fd,
    .unregister_poll_fd = poll_fd,
    .notify = notify,
};

static int add_poll(int fd, int events, void *opaque)
{
    struct net *n = opaque;
    return loop_poll_fd(n->loop, fd,
                        (events & SLIRP_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                            (events & SLIRP_POLL_OUT ? (uint32_t)EPOLLOUT : 0) |
                            (events & SLIRP_POLL_PRI ? (uint32_t)EPOLLPRI : 0));
}

static int get_revents(int index, void *opaque)
{
    struct net *n = opaque;
    uint32_t r = loop_poll_result(n->loop, index);
    return (r & EPOLLIN ? SLIRP_POLL_IN : 0) | (r & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (r & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (r & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (r & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static void prepare(void *arg, int *timeout_ms)
{
    struct net *n = arg;
    uint32_t timeout = UINT32_MAX;
    slirp_pollfds_fill(n->slirp, &timeout, add_poll, n);
    if (timeout != UINT32_MAX)
        *timeout_ms = (int)MIN(timeout, 1000u * 3600);
}

static void done(void *arg)
{
    struct net *n = arg;
    slirp_pollfds_poll(n->slirp, 0, get_revents, n);
}

static int forward(struct net *n, const struct net_forward *f, char *err, size_t err_len)
{
    struct in_addr host = { htonl(f->host_addr ? f->host_addr : INADDR_LOOPBACK) };
    struct in_addr guest = { 0 };
    char name[INET_ADDRSTRLEN] = "?";
    int e;
    errno = 0;
    if (!slirp_add_hostfwd(n->slirp, f->udp, host, f->host_port, guest, f->guest_port))
        return 0;
    e = errno ? -errno : -EADDRINUSE;
    inet_ntop(AF_INET, &host, name, sizeof(name));
    snprintf(err, err_len, "hostfwd=%s:%u:%u: %s port %u of %s: %s", f->udp ? "udp" : "tcp",
             f->host_port, f->guest_port, f->udp ? "UDP" : "TCP", f->host_port, name,
             e == -EADDRINUSE ? "port in use" : strerror(-e));
    return e;
}

int net_user_create(struct net **out, struct loop *loop, const struct net_forward *forwards,
                    unsigned count, bool (*receive)(void *arg, const void *frame, size_t len),
                    void *arg, char *err, size_t err_len)
{
    SlirpConfig config = { .version = 4,
                           .in_enabled = true,
                           .vnetwork.s_addr = htonl(0x0a000200),
                           .vnetmask.s_addr = htonl(0xffffff00),
                           .vhost.s_addr = htonl(0x0a000202),
                           .vdhcp_start.s_addr = htonl(0x0a00020f),
                           .vnameserver.s_addr = htonl(0x0a000203) };
    struct loop_poll poll = { prepare, done, NULL };
    struct net *n = calloc(1, sizeof(*n));
    int e = -ENOMEM;

    if (!n) {
        snprintf(err, err_len, "network: out of memory");
        return e;
    }
    n->loop = loop;
    n->receive = receive;
    n->arg = arg;
    n->slirp = slirp_new(&config, &callbacks, n);
    if (!n->slirp) {
        snprintf(err, err_len, "network: libslirp %s cannot be set up", slirp_version_string());
        e = -EIO;
        goto fail;
    }
    for (unsigned i = 0; i < count; i++)
        if ((e = forward(n, &forwards[i], err, err_len)))
            goto fail;
    poll.arg = n;
    e = loop_add_poll(loop, &poll);
    if (e) {
        snprintf(err, err_len, "network: more networks than the event loop takes");
        goto fail;
    }
    *out = n;
    return 0;
fail:
    net_destroy(n);
    return e;
}

void net_destroy(struct net *n)
{
    if (!n)
        return;
    loop_del_poll(n->loop, n);
    if (n->slirp)
        slirp_cleanup(n->slirp);
    free(n);
}

void net_send(struct net *n, const void *frame, size_t len)
{
    if (len < 14 || len > 65535 + 14)
        return;
    slirp_input(n->slirp, frame, (int)len);
    loop_wake(n->loop); /* sockets and time-outs may have changed */
}
