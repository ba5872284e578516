/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte streams to the outside.
 *
 * Output never blocks a device as long as it fits into a buffer of 256 KiB that the loop drains.
 * When that is full, a write to a terminal, pipe or file waits, with the device lock held, until
 * the reader takes something: the VM then runs at the reader's speed and nothing is lost. A socket
 * client that takes nothing for a second is dropped instead, so that it cannot stop the VM.
 *
 * Input is read only while the sink has room; what a pipe holds beyond that stays in the pipe. A
 * terminal is always read, for the escape key; 4 KiB wait for the guest, more is dropped.
 */
#include "host/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/tty.h"
#include "lib/log.h"

enum {
    OUT_SIZE = 256 * 1024,
    IN_SIZE = 4096,
    CHUNK = 4096, /* PIPE_BUF: POLLOUT promises a pipe takes this much without blocking */
    STALL_MS = 1000,
    ESCAPE = 0x01 /* Ctrl-a */
};

struct chardev {
    struct loop *loop;
    int in_fd, out_fd, listen_fd; /* -1: none */
    bool own_out;
    bool socket;  /* out_fd is a socket: a stalled or lost client is dropped */
    bool tty;     /* in_fd is a raw terminal */
    bool escaped; /* Ctrl-a was the last key */
    struct loop_fd *in_watch, *out_watch, *listen_watch;
    struct char_sink sink;
    struct chardev_keys keys;
    char *path; /* of the listening socket, to be unlinked */
    uint8_t *out;
    size_t out_pos, out_len; /* ring */
    uint8_t in[IN_SIZE];
    size_t in_len;
};

static void on_input(void *arg, uint32_t events);
static void on_output(void *arg, uint32_t events);
static void on_connect(void *arg, uint32_t events);

static void drop_client(struct chardev *c)
{
    if (c->in_watch)
        loop_del_fd(c->loop, c->in_watch);
    if (c->out_watch)
        loop_del_fd(c->loop, c->out_watch);
    c->in_watch = c->out_watch = NULL;
    if (c->out_fd >= 0)
        close(c->out_fd);
    c->in_fd = c->out_fd = -1;
    c->out_len = 0;
    if (c->listen_watch)
        loop_mod_fd(c->loop, c->listen_watch, EPOLLIN);
}

/* The other side is gone for good: later output is dropped. */
static void lose_output(struct chardev *c)
{
    if (c->socket) {
        drop_client(c);
        return;
    }
    if (c->out_watch)
        loop_del_fd(c->loop, c->out_watch);
    c->out_watch = NULL;
    if (c->own_out && c->out_fd >= 0)
        close(c->out_fd);
    c->out_fd = -1;
    c->out_len = 0;
}

static bool writable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    return poll(&p, 1, timeout_ms) > 0;
}

/* Writes some; 0: not now. Loses the output on an error. */
static size_t put(struct chardev *c, const void *buf, size_t len)
{
    ssize_t n;
    if (c->socket) {
        n = send(c->out_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        if (!writable(c->out_fd, 0))
            return 0;
        n = write(c->out_fd, buf, MIN(len, (size_t)CHUNK));
    }
    if (n >= 0)
        return (size_t)n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    if (!c->socket)
        log_warn(LOG_SERIAL, "console output lost: %s", strerror(errno));
    lose_output(c);
    return 0;
}

/* Writes what is buffered until the other side takes no more. */
static void drain(struct chardev *c)
{
    while (c->out_len && c->out_fd >= 0) {
        size_t n = put(c, c->out + c->out_pos, MIN(c->out_len, OUT_SIZE - c->out_pos));
        if (!n)
            break;
        c->out_pos = (c->out_pos + n) % OUT_SIZE;
        c->out_len -= n;
    }
    if (c->out_watch)
        loop_mod_fd(c->loop, c->out_watch, c->out_len ? EPOLLOUT : 0);
}

static void on_output(void *arg, uint32_t events)
{
    (void)events;
    drain(arg);
}

static size_t backend_write(void *ctx, const void *buf, size_t len)
{
    struct chardev *c = ctx;
    const uint8_t *p = buf;
    size_t left = len;

    drain(c);
    while (left && c->out_fd >= 0) {
        size_t end, n;
        if (!c->out_len && (n = put(c, p, left))) {
            p += n;
            left -= n;
            continue;
        }
        if (c->out_len == OUT_SIZE) {
            if (!writable(c->out_fd, c->socket ? STALL_MS : -1) && c->socket)
                drop_client(c);
            drain(c);
            continue;
        }
        end = (c->out_pos + c->out_len) % OUT_SIZE;
        n = MIN(left, MIN(OUT_SIZE - c->out_len, OUT_SIZE - end));
        memcpy(c->out + end, p, n);
        c->out_len += n;
        p += n;
        left -= n;
    }
    if (c->out_watch && c->out_len)
        loop_mod_fd(c->loop, c->out_watch, EPOLLOUT);
    return len;
}

/* Hands the waiting input to the sink and watches for more only while there is room. */
static void deliver(struct chardev *c)
{
    while (c->in_len && c->sink.input) {
        size_t n = MIN(c->sink.room(c->sink.dev), c->in_len);
        uint8_t part[256];
        n = MIN(n, sizeof(part));
        if (!n)
            break;
        memcpy(part, c->in, n); /* the sink may set another sink */
        c->in_len -= n;
        memmove(c->in, c->in + n, c->in_len);
        c->sink.input(c->sink.dev, part, n);
    }
    if (c->in_watch)
        loop_mod_fd(c->loop, c->in_watch,
                    c->tty || (c->sink.input && !c->in_len) ? (uint32_t)EPOLLIN : 0);
}

static void backend_resume(void *ctx) { deliver(ctx); }

static void queue_input(struct chardev *c, uint8_t byte)
{
    if (c->in_len < IN_SIZE)
        c->in[c->in_len++] = byte;
}

static void key(struct chardev *c, uint8_t byte)
{
    if (!c->escaped) {
        c->escaped = byte == ESCAPE;
        if (!c->escaped)
            queue_input(c, byte);
        return;
    }
    c->escaped = false;
    if (byte == 'x' && c->keys.quit) {
        c->keys.quit(c->keys.arg);
    } else if (byte == 'c' && c->keys.prompt) {
        deliver(c); /* what was typed before belongs to the guest */
        c->keys.prompt(c->keys.arg);
    } else if (byte == 'a' || byte == ESCAPE) {
        queue_input(c, ESCAPE);
    }
}

static void on_input(void *arg, uint32_t events)
{
    struct chardev *c = arg;
    uint8_t buf[512];
    ssize_t n;
    (void)events;

    n = read(c->in_fd, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* end of input: a pipe ran dry, the terminal or client went away */
        if (c->socket) {
            drop_client(c);
        } else {
            loop_del_fd(c->loop, c->in_watch);
            c->in_watch = NULL;
        }
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (c->tty)
            key(c, buf[i]);
        else
            queue_input(c, buf[i]);
    }
    deliver(c);
}

static void on_connect(void *arg, uint32_t events)
{
    struct chardev *c = arg;
    int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    (void)events;
    if (fd < 0)
        return;
    c->in_fd = c->out_fd = fd;
    c->in_len = 0;
    if (loop_add_fd(c->loop, fd, 0, on_input, c, &c->in_watch) ||
        loop_add_fd(c->loop, fd, 0, on_output, c, &c->out_watch)) {
        drop_client(c);
        return;
    }
    loop_mod_fd(c->loop, c->listen_watch, 0); /* others wait in the backlog */
    deliver(c);
}

static struct chardev *new_chardev(struct loop *loop)
{
    struct chardev *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->out = malloc(OUT_SIZE);
    if (!c->out) {
        free(c);
        return NULL;
    }
    c->loop = loop;
    c->in_fd = c->out_fd = c->listen_fd = -1;
    return c;
}

/* Our own non-blocking open file of stdout's terminal or pipe: O_NONBLOCK on the inherited one
 * would hit every process that shares it. Files must not be reopened (offset). */
static int reopen_output(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) < 0 || (!S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode)))
        return -1;
    return open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int chardev_stdio(struct chardev **out, struct loop *loop, const struct chardev_keys *keys)
{
    struct sigaction old;
    struct stat st;
    int e = -ENOMEM;
    struct chardev *c = new_chardev(loop);
    if (!c)
        return e;
    if (keys)
        c->keys = *keys;
    /* A reader that went away ends the output, not the VM. */
    if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    c->out_fd = reopen_output();
    c->own_out = c->out_fd >= 0;
    if (!c->own_out && !fstat(STDOUT_FILENO, &st))
        c->out_fd = STDOUT_FILENO;
    if (c->out_fd >= 0 && (e = loop_add_fd(loop, c->out_fd, 0, on_output, c, &c->out_watch)))
        goto fail;
    e = tty_raw(STDIN_FILENO);
    if (e == -EBUSY)
        goto fail;
    c->tty = !e;
    /* A terminal we are in the background of must not be read: that would stop us. */
    if (!fstat(STDIN_FILENO, &st) && (c->tty || !isatty(STDIN_FILENO))) {
        c->in_fd = STDIN_FILENO;
        e = loop_add_fd(loop, c->in_fd, c->tty ? EPOLLIN : 0, on_input, c, &c->in_watch);
        if (e)
            goto fail;
    }
    *out = c;
    return 0;
fail:
    chardev_destroy(c);
    return e;
}

int chardev_file(struct chardev **out, const char *path, char *err, size_t err_len)
{
    int e = -ENOMEM;
    struct chardev *c = new_chardev(NULL);
    if (!c) {
        snprintf(err, err_len, "%s: out of memory", path);
        return e;
    }
    c->out_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (c->out_fd < 0) {
        e = -errno;
        snprintf(err, err_len, "%s: %s", path,
                 e == -ENXIO ? "nobody reads this pipe" : strerror(-e));
        chardev_destroy(c);
        return e;
    }
    c->own_out = true;
    *out = c;
    return 0;
}

/* Makes room for our socket: a stale one of a process that is gone is removed, nothing else. */
static int clear_path(const struct sockaddr_un *addr, char *err, size_t err_len)
{
    struct stat st;
    int fd, e = 0;
    if (lstat(addr->sun_path, &st) < 0)
        return 0; /* bind will say what is wrong */
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(err, err_len, "%s: exists and is not a socket", addr->sun_path);
        return -EEXIST;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno != ECONNREFUSED) {
        snprintf(err, err_len, "%s: socket in use by another process", addr->sun_path);
        e = -EADDRINUSE;
    } else if (unlink(addr->sun_path) < 0) {
        e = -errno;
        snprintf(err, err_len, "%s: %s", addr->sun_path, strerror(-e));
    }
    close(fd);
    return e;
}

int chardev_unix(struct chardev **out, struct loop *loop, const char *path, char *err,
                 size_t err_len)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct chardev *c;
    int e;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        snprintf(err, err_len, "%s: longer than a socket path may be (%zu)", path,
                 sizeof(addr.sun_path) - 1);
        return -ENAMETOOLONG;
    }
    strcpy(addr.sun_path, path);
    e = clear_path(&addr, err, err_len);
    if (e)
        return e;
    c = new_chardev(loop);
    if (!c) {
        snprintf(err, err_len, "%s: out of memory", path);
        return -ENOMEM;
    }
    c->socket = true;
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listen_fd < 0 || bind(c->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        e = -errno;
        goto fail;
    }
    c->path = strdup(path);
    if (listen(c->listen_fd, 4) < 0) {
        e = -errno;
        goto fail;
    }
    e = loop_add_fd(loop, c->listen_fd, EPOLLIN, on_connect, c, &c->listen_watch);
    if (e)
        goto fail;
    *out = c;
    return 0;
fail:
    snprintf(err, err_len, "%s: %s", path, strerror(-e));
    chardev_destroy(c);
    return e;
}

int chardev_null(struct chardev **out)
{
    *out = new_chardev(NULL);
    return *out ? 0 : -ENOMEM;
}

void chardev_destroy(struct chardev *c)
{
    if (!c)
        return;
    chardev_flush(c);
    if (c->in_watch)
        loop_del_fd(c->loop, c->in_watch);
    if (c->out_watch)
        loop_del_fd(c->loop, c->out_watch);
    if (c->listen_watch)
        loop_del_fd(c->loop, c->listen_watch);
    if (c->tty)
        tty_restore();
    if (c->listen_fd >= 0)
        close(c->listen_fd);
    if ((c->own_out || c->socket) && c->out_fd >= 0)
        close(c->out_fd);
    if (c->path)
        unlink(c->path);
    free(c->path);
    free(c->out);
    free(c);
}

struct char_backend chardev_backend(struct chardev *c)
{
    return (struct char_backend){ backend_write, backend_resume, c };
}

struct char_sink chardev_sink(const struct chardev *c) { return c->sink; }

void chardev_set_sink(struct chardev *c, const struct char_sink *sink)
{
    c->sink = sink ? *sink : (struct char_sink){ 0 };
    deliver(c);
}

void chardev_flush(struct chardev *c)
{
    uint64_t end = host_now_ns() + STALL_MS * 1000000ull;
    drain(c);
    while (c->out_len && c->out_fd >= 0) {
        uint64_t now = host_now_ns();
        if (now >= end || !writable(c->out_fd, (int)((end - now) / 1000000u) + 1))
            break;
        drain(c);
    }
}
