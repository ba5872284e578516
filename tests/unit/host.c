/* SPDX-License-Identifier: BSD-2-Clause */
/* Host side: event loop, disk images, byte streams, user network. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/block.h"
#include "host/chardev.h"
#include "host/loop.h"
#include "host/net.h"
#include "tests/unit/unit.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char dir[] = "/tmp/trapeze-unit-XXXXXX", err[256];
static struct loop *loop;

static const char *path(const char *name)
{
    static char buf[4][128];
    static unsigned i;
    char *p = buf[i++ % 4];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}

/* Waits, lock held, until *flag is at least n; gives up after 10 s. */
static bool reached(const unsigned *flag, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while (*flag < n)
        if (pthread_cond_timedwait(&changed, &lock, &until))
            return false;
    return true;
}

/* ---- loop ---- */

static unsigned fired, readable, prepared;
static struct loop_fd *watch;
static int pipe_fd[2];

static void on_timer(void *arg)
{
    struct device_timer *t = arg;
    if (++fired < 3)
        t->set(t, host_now_ns() + 1000000);
    pthread_cond_broadcast(&changed);
}

static void on_pipe(void *arg, uint32_t events)
{
    char c;
    (void)arg;
    if (events & EPOLLIN && read(pipe_fd[0], &c, 1) == 1 && ++readable == 2) {
        loop_del_fd(loop, watch); /* from within its own call */
        watch = NULL;
    }
    pthread_cond_broadcast(&changed);
}

static void on_prepare(void *arg, int *timeout_ms)
{
    (void)arg;
    (void)timeout_ms;
    loop_poll_fd(loop, pipe_fd[0], EPOLLIN);
    prepared++;
}
static void on_done(void *arg) { (void)arg; }

static void test_loop(void)
{
    struct device_timer t = { .fire = on_timer, .arg = &t };
    const struct loop_poll hook = { on_prepare, on_done, &t };
    CHECK_EQ(pipe(pipe_fd), 0);
    CHECK_EQ(loop_add_timer(loop, &t), 0);
    CHECK_EQ(loop_add_fd(loop, pipe_fd[0], EPOLLIN, on_pipe, NULL, &watch), 0);
    CHECK_EQ(loop_start(loop), 0);
    pthread_mutex_lock(&lock);
    t.set(&t, host_now_ns());
    CHECK(reached(&fired, 3));
    CHECK_EQ(write(pipe_fd[1], "ab", 2), 2);
    CHECK(reached(&readable, 2));
    CHECK(!watch);
    CHECK_EQ(loop_add_poll(loop, &hook), 0);
    pthread_mutex_unlock(&lock);
    loop_stop(loop);
    CHECK_EQ(loop_start(loop), 0);
    pthread_mutex_lock(&lock);
    t.set(&t, 0);
    CHECK(reached(&fired, 4));
    CHECK(prepared > 0);
    loop_del_timer(loop, &t);
    loop_del_poll(loop, &t);
    pthread_mutex_unlock(&lock);
    close(pipe_fd[1]);
}

/* ---- disk images ---- */

static void make_file(const char *name, off_t size)
{
    int fd = open(path(name), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    CHECK(fd >= 0 && !ftruncate(fd, size));
    close(fd);
}

static int fails(const char *name, bool ro, const char *cause)
{
    struct block *b = NULL;
    int e = block_open(&b, path(name), ro, false, err, sizeof(err));
    CHECK(e < 0 && !b);
    CHECK(strstr(err, cause) && strstr(err, path(name)) && !strchr(err, '\n'));
    return e;
}

static void test_block(void)
{
    static uint8_t buf[4096 * 300], in[4096 * 300];
    struct iovec v[300];
    struct block *b = NULL, *b2 = NULL;
    make_file("disk", 1 << 21);
    CHECK_EQ(fails("none", false, "no such file"), -ENOENT);
    mkdir(path("sub"), 0700);
    CHECK_EQ(fails("sub", false, "is a directory"), -EISDIR);
    CHECK_EQ(fails("sub", true, "is a directory"), -EISDIR);
    make_file("odd", 1000);
    CHECK_EQ(fails("odd", false, "multiple of 512"), -EINVAL);
    make_file("empty", 0);
    CHECK_EQ(fails("empty", false, "is empty"), -EINVAL);
    mkfifo(path("fifo"), 0600);
    CHECK_EQ(fails("fifo", true, "neither a file"), -EINVAL);
    if (getuid()) {
        make_file("secret", 512);
        chmod(path("secret"), 0);
        CHECK_EQ(fails("secret", true, "no permission"), -EACCES);
    }
    CHECK_EQ(block_open(&b, path("disk"), false, false, err, sizeof(err)), 0);
    CHECK_EQ(block_size(b), 1 << 21);
    CHECK_EQ(fails("disk", false, "in use"), -EAGAIN);
    CHECK_EQ(fails("disk", true, "in use"), -EAGAIN);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned i = 0; i < 300; i++)
        v[i] = (struct iovec){ buf + i * 4096, 4096 };
    CHECK_EQ(block_write(b, 512, v, 300), 0);
    for (unsigned i = 0; i < 300; i++)
        v[i].iov_base = in + i * 4096;
    CHECK_EQ(block_read(b, 512, v, 300), 0);
    CHECK(!memcmp(buf, in, sizeof(in)));
    CHECK_EQ(block_flush(b), 0);
    CHECK_EQ(block_discard(b, 4096, 8192, true), 0);
    CHECK_EQ(block_read(b, 4096, v, 3), 0);
    CHECK(in[0] == 0 && in[8191] == 0 && in[8192] == buf[12288 - 512]);
    v[0].iov_len = 512;
    CHECK_EQ(block_read(b, 1 << 21, v, 1), -EINVAL);
    CHECK_EQ(block_read(b, (1 << 21) - 511, v, 1), -EINVAL);
    CHECK_EQ(block_read(b, ~0ull, v, 1), -EINVAL);
    v[0].iov_len = SIZE_MAX;
    CHECK_EQ(block_read(b, 512, v, 2), -EINVAL);
    v[0].iov_len = 512;
    CHECK_EQ(truncate(path("disk"), 4096), 0); /* by somebody else */
    CHECK_EQ(block_read(b, 8192, v, 1), -EIO);
    block_close(b);
    CHECK_EQ(block_open(&b, path("disk"), true, false, err, sizeof(err)), 0);
    CHECK_EQ(block_open(&b2, path("disk"), true, false, err, sizeof(err)), 0);
    CHECK_EQ(fails("disk", false, "in use"), -EAGAIN);
    CHECK_EQ(block_write(b, 0, v, 1), -EROFS);
    CHECK_EQ(block_discard(b, 0, 512, false), -EROFS);
    block_close(b);
    block_close(b2);
    /* O_DIRECT with a buffer that is not aligned, where the file system has it. */
    if (!block_open(&b, path("disk"), false, true, err, sizeof(err))) {
        v[0] = (struct iovec){ in + 1, 512 };
        CHECK_EQ(block_write(b, 512, v, 1), 0);
        v[0].iov_base = buf + 3;
        CHECK_EQ(block_read(b, 512, v, 1), 0);
        CHECK(!memcmp(in + 1, buf + 3, 512));
        block_close(b);
    }
}

/* ---- byte streams ---- */

static uint8_t got[8];
static unsigned got_len, got_room = 4;
static size_t sink_room(void *dev)
{
    (void)dev;
    return got_room - got_len;
}
static void sink_input(void *dev, const uint8_t *buf, size_t len)
{
    (void)dev;
    memcpy(got + got_len, buf, len);
    got_len += (unsigned)len;
    pthread_cond_broadcast(&changed);
}

static void test_file(void)
{
    struct chardev *c = NULL;
    struct char_backend b;
    char buf[64] = "";
    int fd;
    CHECK_EQ(chardev_file(&c, path("sub"), err, sizeof(err)), -EISDIR);
    CHECK(strstr(err, path("sub")) != NULL);
    CHECK_EQ(chardev_file(&c, path("out"), err, sizeof(err)), 0);
    b = chardev_backend(c);
    CHECK_EQ(b.write(b.ctx, "hello ", 6), 6);
    CHECK_EQ(b.write(b.ctx, "file", 4), 4);
    chardev_destroy(c);
    fd = open(path("out"), O_RDONLY);
    CHECK_EQ(read(fd, buf, sizeof(buf)), 10);
    CHECK(!strcmp(buf, "hello file"));
    close(fd);
    CHECK_EQ(chardev_null(&c), 0);
    b = chardev_backend(c);
    CHECK_EQ(b.write(b.ctx, "x", 1), 1);
    chardev_destroy(c);
}

static int client(const char *name)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(a.sun_path, path(name), sizeof(a.sun_path) - 1);
    CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void test_unix(void)
{
    const struct char_sink sink = { sink_room, sink_input, NULL };
    struct chardev *c = NULL, *second = NULL;
    struct char_backend b;
    char buf[1000], big[70000];
    size_t total = 0;
    ssize_t n;
    int fd;
    memset(big, 'x', sizeof(big));
    CHECK_EQ(chardev_unix(&c, loop, path("out"), err, sizeof(err)), -EEXIST);
    pthread_mutex_lock(&lock);
    CHECK_EQ(chardev_unix(&c, loop, path("sock"), err, sizeof(err)), 0);
    b = chardev_backend(c);
    CHECK_EQ(b.write(b.ctx, "lost", 4), 4); /* nobody there */
    chardev_set_sink(c, &sink);
    CHECK_EQ(chardev_unix(&second, loop, path("sock"), err, sizeof(err)), -EADDRINUSE);
    pthread_mutex_unlock(&lock);
    /* The probe above is the first client, and gone. */
    fd = client("sock");
    CHECK_EQ(write(fd, "abcdef", 6), 6);
    pthread_mutex_lock(&lock);
    CHECK(reached(&got_len, 4));
    CHECK_EQ(got_len, 4); /* no room for more */
    got_room = 6;
    b.resume(b.ctx);
    CHECK(reached(&got_len, 6));
    CHECK(!memcmp(got, "abcdef", 6));
    /* More than the socket takes at once. */
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(b.write(b.ctx, big, sizeof(big)), sizeof(big));
    pthread_mutex_unlock(&lock);
    while (total < 3 * sizeof(big) && (n = read(fd, buf, sizeof(buf))) > 0)
        total += (size_t)n;
    CHECK_EQ(total, 3 * sizeof(big));
    close(fd);
    fd = client("sock"); /* the next one is served */
    got_len = 0;
    CHECK_EQ(write(fd, "123456", 6), 6);
    pthread_mutex_lock(&lock);
    CHECK(reached(&got_len, 6));
    chardev_destroy(c);
    pthread_mutex_unlock(&lock);
    CHECK_EQ(read(fd, buf, 1), 0);
    close(fd);
    CHECK(access(path("sock"), F_OK) < 0);
}

/* ---- network ---- */

static uint8_t reply[600];
static unsigned replies;
static bool on_frame(void *arg, const void *frame, size_t len)
{
    (void)arg;
    memcpy(reply, frame, MIN(len, sizeof(reply)));
    replies++;
    pthread_cond_broadcast(&changed);
    return true;
}

static void test_net(void)
{
    /* ARP: who has 10.0.2.2? */
    static const uint8_t arp[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 8, 6,
                                     0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 1,
                                     10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2 };
    struct net *n = NULL;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), c;
    struct net_forward f = { .guest_port = 80 };

    CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    CHECK_EQ(listen(fd, 1), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    f.host_port = ntohs(a.sin_port);
    pthread_mutex_lock(&lock);
    CHECK_EQ(net_user_create(&n, loop, &f, 1, on_frame, NULL, err, sizeof(err)), -EADDRINUSE);
    CHECK(strstr(err, "port in use") != NULL && !strchr(err, '\n'));
    close(fd);
    CHECK_EQ(net_user_create(&n, loop, &f, 1, on_frame, NULL, err, sizeof(err)), 0);
    net_send(n, arp, sizeof(arp));
    CHECK(reached(&replies, 1));
    CHECK(reply[12] == 8 && reply[13] == 6 && reply[21] == 2);
    net_send(n, arp, 3);
    /* A connection to the forwarded port becomes a SYN (or an ARP request) to the guest. */
    replies = 0;
    pthread_mutex_unlock(&lock);
    c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(c, (struct sockaddr *)&a, sizeof(a)), 0);
    pthread_mutex_lock(&lock);
    CHECK(reached(&replies, 1));
    net_destroy(n);
    pthread_mutex_unlock(&lock);
    close(c);
}

int main(void)
{
    static const char *const left[] = { "disk", "odd", "empty", "fifo", "secret", "out" };
    if (!mkdtemp(dir) || loop_create(&loop, &lock))
        return 1;
    test_loop();
    test_block();
    test_file();
    test_unix();
    test_net();
    loop_stop(loop);
    loop_destroy(loop);
    close(pipe_fd[0]);
    for (unsigned i = 0; i < ARRAY_LEN(left); i++)
        unlink(path(left[i]));
    rmdir(path("sub"));
    rmdir(dir);
    return unit_done("host");
}
