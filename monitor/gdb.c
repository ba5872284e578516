/* SPDX-License-Identifier: BSD-2-Clause */
/* The gdb stub's connection: one thread that speaks the remote protocol and stops and continues the
 * VM. [GDB] manual, "GDB Remote Serial Protocol". */
#include "monitor/gdb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "monitor/gdb_target.h"

enum { PACKET_MAX = 0x4000 };

struct gdb {
    struct vm *vm;
    struct gdb_target target;
    pthread_t thread;
    int listener, client, event; /* event: a vCPU stopped, or quit */
    bool no_ack, running;        /* running: the guest may run; only the gdb thread changes it */
    unsigned general, resumed;   /* threads (vCPU ids) for g/m and of the last stop */
    char packet[PACKET_MAX + 1], reply[2 * PACKET_MAX + 8];
    size_t reply_len;
    uint8_t input[4096];
    size_t input_len, input_at;
    char xml[16384];
    /* Between vCPU threads and the gdb thread. */
    pthread_mutex_t lock;
    bool quit;          /* (l) */
    bool stopped;       /* (l) a vCPU hit something; the VM is paused */
    unsigned stop_vcpu; /* (l) */
    uint64_t stop_dr6;  /* (l) */
};

/* ---- bytes and hex ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *hex_number(const char *p, uint64_t *v)
{
    *v = 0;
    for (int d; (d = hex_digit(*p)) >= 0; p++)
        *v = *v << 4 | (unsigned)d;
    return p;
}

/* Decodes exactly n bytes; false if the text is shorter or not hex. */
static bool hex_bytes(const char *p, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int h = hex_digit(p[2 * i]), l = h < 0 ? -1 : hex_digit(p[2 * i + 1]);
        if (l < 0)
            return false;
        out[i] = (uint8_t)(h << 4 | l);
    }
    return true;
}

static void reply_text(struct gdb *g, const char *text)
{
    size_t n = MIN(strlen(text), sizeof(g->reply) - g->reply_len);
    memcpy(g->reply + g->reply_len, text, n);
    g->reply_len += n;
}

static void reply_hex(struct gdb *g, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && g->reply_len + 2 <= sizeof(g->reply); i++) {
        g->reply[g->reply_len++] = "0123456789abcdef"[p[i] >> 4];
        g->reply[g->reply_len++] = "0123456789abcdef"[p[i] & 15];
    }
}

static void reply_error(struct gdb *g, int err)
{
    char text[8];
    snprintf(text, sizeof(text), "E%02x", -err & 0xff);
    reply_text(g, text);
}

static void reply_result(struct gdb *g, int ret)
{
    if (ret)
        reply_error(g, ret);
    else
        reply_text(g, "OK");
}

/* ---- connection ---- */

static bool send_all(struct gdb *g, const char *p, size_t n)
{
    while (n) {
        ssize_t done = send(g->client, p, n, MSG_NOSIGNAL);
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static bool send_packet(struct gdb *g)
{
    char head = '$', tail[4];
    uint8_t sum = 0;
    for (size_t i = 0; i < g->reply_len; i++)
        sum = (uint8_t)(sum + (uint8_t)g->reply[i]);
    snprintf(tail, sizeof(tail), "#%02x", sum);
    trace(LOG_GDB, "> %.*s", (int)MIN(g->reply_len, (size_t)200), g->reply);
    bool ok = send_all(g, &head, 1) && send_all(g, g->reply, g->reply_len) && send_all(g, tail, 3);
    g->reply_len = 0;
    return ok;
}

/* Next byte, or -1 when the connection ends or the stub is to quit; while the guest runs, a stop
 * ends the wait: -2. */
static int next_byte(struct gdb *g)
{
    while (g->input_at == g->input_len) {
        struct pollfd p[] = { { g->client, POLLIN, 0 }, { g->event, POLLIN, 0 } };
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents) {
            pthread_mutex_lock(&g->lock);
            bool quit = g->quit, stopped = g->stopped;
            pthread_mutex_unlock(&g->lock);
            if (quit)
                return -1;
            if (stopped && g->running)
                return -2;
            uint64_t n;
            if (read(g->event, &n, sizeof(n)) < 0)
                continue;
        }
        if (p[0].revents) {
            ssize_t n = recv(g->client, g->input, sizeof(g->input), 0);
            if (n <= 0)
                return -1;
            g->input_len = (size_t)n;
            g->input_at = 0;
        }
    }
    return g->input[g->input_at++];
}

enum { PACKET, BREAK, STOPPED, CLOSED };

/* Reads the next packet into g->packet (NUL-terminated, escapes resolved). */
static int receive(struct gdb *g, size_t *len)
{
    for (;;) {
        int c = next_byte(g);
        if (c < 0)
            return c == -2 ? STOPPED : CLOSED;
        if (c == 3)
            return BREAK;
        if (c != '$')
            continue; /* acknowledgements */
        uint8_t sum = 0;
        size_t n = 0;
        bool escaped = false, fits = true;
        while ((c = next_byte(g)) != '#') {
            if (c < 0)
                return CLOSED;
            sum = (uint8_t)(sum + c);
            if (c == '}' && !escaped) {
                escaped = true;
                continue;
            }
            if (n == PACKET_MAX)
                fits = false;
            else
                g->packet[n++] = (char)(escaped ? c ^ 0x20 : c);
            escaped = false;
        }
        int h = next_byte(g), l = next_byte(g);
        if (h < 0 || l < 0)
            return CLOSED;
        bool good = fits && hex_digit((char)h) >= 0 &&
                    (hex_digit((char)h) << 4 | hex_digit((char)l)) == sum;
        if (!g->no_ack && !send_all(g, good ? "+" : "-", 1))
            return CLOSED;
        if (!good)
            continue;
        g->packet[n] = 0;
        *len = n;
        trace(LOG_GDB, "< %.200s", g->packet);
        return PACKET;
    }
}

/* ---- running and stopping ---- */

static void stop_reply(struct gdb *g, int signal)
{
    char text[64];
    uint64_t addr;
    const char *watch = signal == 5 ? gdb_target_watch(&g->target, g->stop_dr6, &addr) : NULL;
    snprintf(text, sizeof(text), "T%02xthread:%x;", signal, g->resumed + 1);
    reply_text(g, text);
    if (watch) {
        snprintf(text, sizeof(text), "%s:%llx;", watch, (unsigned long long)addr);
        reply_text(g, text);
    }
}

static void resume(struct gdb *g, bool step, unsigned vcpu)
{
    gdb_target_arm(&g->target, step, vcpu);
    g->running = true;
    vm_resume(g->vm);
}

/* On a vCPU's thread. */
static bool on_debug(struct vcpu *v)
{
    struct gdb *g = v->vm->gdb;
    uint64_t one = 1;
    pthread_mutex_lock(&g->lock);
    bool first = !g->stopped;
    if (first) {
        g->stopped = true;
        g->stop_vcpu = v->id;
        g->stop_dr6 = v->vcpu->run->debug.arch.dr6;
    }
    pthread_mutex_unlock(&g->lock);
    if (first) /* without the lock: another vCPU may wait for it on its way out */
        vm_pause(v->vm);
    if (first && write(g->event, &one, sizeof(one)) < 0)
        log_warn(LOG_GDB, "gdb: cannot signal a stop");
    return true;
}

/* The guest is stopped, by a vCPU or by us; takes note. True if a vCPU had stopped by itself. */
static bool take_stop(struct gdb *g)
{
    uint64_t n;
    pthread_mutex_lock(&g->lock);
    bool stopped = g->stopped;
    g->stopped = false;
    if (stopped) {
        g->general = g->resumed = g->stop_vcpu;
        if (read(g->event, &n, sizeof(n)) < 0)
            n = 0; /* already drained */
    } else
        g->stop_dr6 = 0;
    pthread_mutex_unlock(&g->lock);
    g->running = false;
    return stopped;
}

/* ---- packets ---- */

static void cmd_read_all(struct gdb *g)
{
    uint8_t v[16];
    unsigned len;
    for (unsigned i = 0; i < gdb_target_regs(&g->target); i++) {
        int ret = gdb_target_get(&g->target, g->general, i, v, &len);
        if (ret) {
            g->reply_len = 0;
            reply_error(g, ret);
            return;
        }
        reply_hex(g, v, len);
    }
}

static void cmd_write_all(struct gdb *g, const char *p)
{
    uint8_t v[16];
    unsigned len;
    int ret = 0;
    for (unsigned i = 0; !ret && *p && i < gdb_target_regs(&g->target); i++, p += 2 * len) {
        if ((ret = gdb_target_get(&g->target, g->general, i, v, &len)))
            break;
        ret = hex_bytes(p, v, len) ? gdb_target_set(&g->target, g->general, i, v, len) : -EINVAL;
    }
    reply_result(g, ret);
}

static void cmd_reg(struct gdb *g, const char *p, bool write)
{
    uint64_t n;
    uint8_t v[16];
    unsigned len;
    p = hex_number(p, &n);
    int ret = n > 0xffff ? -ENOENT : gdb_target_get(&g->target, g->general, (unsigned)n, v, &len);
    if (!ret && write)
        ret = *p == '=' && hex_bytes(p + 1, v, len)
                  ? gdb_target_set(&g->target, g->general, (unsigned)n, v, len)
                  : -EINVAL;
    if (ret || write)
        reply_result(g, ret);
    else
        reply_hex(g, v, len);
}

static void cmd_memory(struct gdb *g, const char *p, size_t packet_len, char kind)
{
    static const size_t most = PACKET_MAX / 2;
    uint64_t addr, len;
    uint8_t *buf;
    p = hex_number(p, &addr);
    if (*p != ',')
        return reply_error(g, -EINVAL);
    p = hex_number(p + 1, &len);
    len = MIN(len, most);
    if (!len) /* gdb probes X with no bytes */
        return reply_text(g, kind == 'm' ? "" : "OK");
    if (!(buf = malloc(len)))
        return reply_error(g, -ENOMEM);
    size_t left = packet_len - MIN(packet_len, (size_t)(p + 1 - g->packet));
    if (kind == 'm') {
        size_t n = gdb_target_memory(&g->target, g->general, addr, buf, len, false);
        if (n)
            reply_hex(g, buf, n);
        else
            reply_error(g, -EFAULT);
    } else if (*p != ':' || (kind == 'M' ? !hex_bytes(p + 1, buf, len) : left < len)) {
        reply_error(g, -EINVAL);
    } else {
        if (kind == 'X')
            memcpy(buf, p + 1, len);
        reply_result(g, gdb_target_memory(&g->target, g->general, addr, buf, len, true) == len
                            ? 0
                            : -EFAULT);
    }
    free(buf);
}

static void cmd_point(struct gdb *g, const char *p, bool insert)
{
    uint64_t addr, len;
    unsigned type = (unsigned)(p[0] - '0');
    if (type > GDB_POINT_ACCESS || p[1] != ',')
        return; /* empty reply: not supported */
    p = hex_number(p + 2, &addr);
    if (*p != ',')
        return reply_error(g, -EINVAL);
    hex_number(p + 1, &len);
    if (len > 8)
        return reply_error(g, -EINVAL);
    int ret = (insert ? gdb_target_insert : gdb_target_remove)(&g->target, g->general, type, addr,
                                                               (unsigned)len);
    if (ret != -ENOTSUP)
        reply_result(g, ret);
}

static void cmd_query(struct gdb *g, const char *p)
{
    char text[64];
    uint64_t off, len;
    if (!strncmp(p, "Supported", 9)) {
        snprintf(text, sizeof(text), "PacketSize=%x;qXfer:features:read+;", PACKET_MAX);
        reply_text(g, text);
        reply_text(g, "QStartNoAckMode+;vContSupported+");
    } else if (!strncmp(p, "Xfer:features:read:target.xml:", 30)) {
        size_t total = gdb_target_xml(&g->target, g->xml, sizeof(g->xml));
        p = hex_number(p + 30, &off);
        hex_number(*p == ',' ? p + 1 : p, &len);
        if (off > total)
            return reply_error(g, -EINVAL);
        len = MIN(len, (uint64_t)PACKET_MAX - 1);
        reply_text(g, total - off <= len ? "l" : "m");
        size_t n = MIN(len, total - off);
        memcpy(g->reply + g->reply_len, g->xml + off, n); /* the text holds none of # $ } * */
        g->reply_len += n;
    } else if (!strcmp(p, "fThreadInfo")) {
        reply_text(g, "m");
        for (unsigned i = 0; i < g->vm->vcpus; i++) {
            snprintf(text, sizeof(text), "%s%x", i ? "," : "", i + 1);
            reply_text(g, text);
        }
    } else if (!strcmp(p, "sThreadInfo")) {
        reply_text(g, "l");
    } else if (!strncmp(p, "ThreadExtraInfo,", 16)) {
        hex_number(p + 16, &off);
        snprintf(text, sizeof(text), "vCPU %u", (unsigned)off - 1);
        reply_hex(g, (const uint8_t *)text, strlen(text));
    } else if (!strcmp(p, "C")) {
        snprintf(text, sizeof(text), "QC%x", g->resumed + 1);
        reply_text(g, text);
    } else if (!strncmp(p, "Attached", 8))
        reply_text(g, "1");
}

/* H and T name a thread, by its number from 1; 0 and -1 mean any. */
static int thread_id(struct gdb *g, const char *p, unsigned *vcpu)
{
    uint64_t n;
    if (*p == '-' || !strcmp(p, "0"))
        return 0;
    hex_number(p, &n);
    if (n < 1 || n > g->vm->vcpus)
        return -ENOENT;
    *vcpu = (unsigned)n - 1;
    return 0;
}

/* vCont;ACTION[:THREAD]…: a step of one vCPU lets the others run, as hardware would. */
static void cmd_vcont(struct gdb *g, const char *p)
{
    bool step = false;
    unsigned vcpu = g->resumed;
    for (; *p == ';'; p += strcspn(p + 1, ";") + 1) {
        const char *colon = p + 1 + strcspn(p + 1, ":;");
        if ((p[1] == 's' || p[1] == 'S') && !step) {
            step = true;
            char id[20];
            snprintf(id, sizeof(id), "%.*s", (int)strcspn(colon, ";"),
                     *colon == ':' ? colon + 1 : "");
            id[strcspn(id, ";")] = 0;
            if (*id && thread_id(g, id, &vcpu))
                return reply_error(g, -ENOENT);
        } else if (!strchr("cCsS", p[1]))
            return reply_error(g, -EINVAL);
    }
    resume(g, step, vcpu);
}

/* One packet while the guest is stopped. False: the debugger left. */
static bool handle(struct gdb *g, size_t len)
{
    const char *p = g->packet;
    uint64_t addr;
    switch (*p) {
    case '?': stop_reply(g, 5); break;
    case 'g': cmd_read_all(g); break;
    case 'G': cmd_write_all(g, p + 1); break;
    case 'p': cmd_reg(g, p + 1, false); break;
    case 'P': cmd_reg(g, p + 1, true); break;
    case 'm':
    case 'M':
    case 'X': cmd_memory(g, p + 1, len, *p); break;
    case 'Z': cmd_point(g, p + 1, true); break;
    case 'z': cmd_point(g, p + 1, false); break;
    case 'H': reply_result(g, thread_id(g, p + 2, p[1] == 'g' ? &g->general : &g->resumed)); break;
    case 'T': {
        unsigned ignored;
        reply_result(g, thread_id(g, p + 1, &ignored));
        break;
    }
    case 'c':
    case 's':
        if (p[1]) {
            uint8_t v[8];
            hex_number(p + 1, &addr);
            le_put(v, addr, 8);
            int ret = gdb_target_set(&g->target, g->resumed, g->target.wide ? 16 : 8, v,
                                     g->target.wide ? 8 : 4);
            if (ret) {
                reply_error(g, ret);
                break;
            }
        }
        resume(g, *p == 's', g->resumed);
        return true;
    case 'v':
        if (!strcmp(p, "vCont?"))
            reply_text(g, "vCont;c;C;s;S");
        else if (!strncmp(p, "vCont", 5)) {
            cmd_vcont(g, p + 5);
            if (g->running)
                return true;
        }
        break;
    case 'q': cmd_query(g, p + 1); break;
    case 'Q':
        if (!strcmp(p, "QStartNoAckMode")) {
            reply_text(g, "OK");
            bool ok = send_packet(g);
            g->no_ack = true;
            return ok;
        }
        break;
    case 'D':
        reply_text(g, "OK");
        (void)send_packet(g);
        return false;
    case 'k': vm_end(g->vm, VM_QUIT, 0); return false;
    }
    return send_packet(g);
}

static void session(struct gdb *g)
{
    for (;;) {
        size_t len;
        int what = receive(g, &len);
        if (what == CLOSED)
            return;
        if (what == PACKET && !g->running) {
            if (!handle(g, len))
                return;
        } else if (g->running && what != PACKET) {
            /* Ctrl-C, or a vCPU's own stop: whichever the VM is paused for, it is paused once. */
            if (what == BREAK) {
                vm_pause(g->vm);
                if (take_stop(g))
                    vm_resume(g->vm); /* both: on_debug's pause is the one that counts */
            } else
                take_stop(g);
            stop_reply(g, what == BREAK ? 2 : 5);
            if (!send_packet(g))
                return;
        }
    }
}

static void *gdb_thread(void *arg)
{
    struct gdb *g = arg;
    for (;;) {
        struct pollfd p[] = { { g->listener, POLLIN, 0 }, { g->event, POLLIN, 0 } };
        pthread_mutex_lock(&g->lock);
        bool quit = g->quit;
        pthread_mutex_unlock(&g->lock);
        if (quit)
            return NULL;
        if (poll(p, 2, -1) < 0 || !p[0].revents)
            continue;
        g->client = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC);
        if (g->client < 0)
            continue;
        int one = 1;
        (void)setsockopt(g->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        g->no_ack = false;
        g->input_at = g->input_len = 0;
        if (g->running) {
            vm_pause(g->vm);
            g->running = false;
        }
        gdb_target_init(&g->target, g->vm);
        session(g);
        /* Gone, by whatever way: the guest goes on as if never watched. */
        if (g->running) {
            vm_pause(g->vm);
            if (take_stop(g))
                vm_resume(g->vm);
        }
        gdb_target_remove_all(&g->target);
        gdb_target_disarm(&g->target);
        g->running = true;
        vm_resume(g->vm);
        pthread_mutex_lock(&g->lock);
        if (g->quit) { /* tell it that the guest has ended */
            g->reply_len = 0;
            reply_text(g, "W00");
            (void)send_packet(g);
        }
        pthread_mutex_unlock(&g->lock);
        close(g->client);
        g->client = -1;
    }
}

/* ---- life cycle ---- */

static int listen_on(struct vm *vm, const char *where)
{
    char host[256];
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *list;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
    int ret = getaddrinfo(*host ? host : "127.0.0.1", colon + 1, &hints, &list);
    if (ret)
        return vm_fail(vm, -EINVAL, "--gdb: '%s': %s", where, gai_strerror(ret));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    ret = fd < 0 ? -errno : 0;
    if (!ret && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
                 bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 1)))
        ret = -errno;
    freeaddrinfo(list);
    if (!ret)
        return fd;
    if (fd >= 0)
        close(fd);
    return vm_fail(vm, ret, "--gdb: cannot listen on '%s': %s", where, strerror(-ret));
}

int gdb_create(struct vm *vm)
{
    struct gdb *g = calloc(1, sizeof(*g));
    if (!g)
        return vm_fail(vm, -ENOMEM, "--gdb: out of memory");
    g->vm = vm;
    g->client = -1;
    pthread_mutex_init(&g->lock, NULL);
    g->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->listener = g->event < 0 ? vm_fail(vm, -errno, "--gdb: no event descriptor")
                               : listen_on(vm, vm->config->gdb);
    int ret = g->listener < 0 ? g->listener : 0;
    if (!ret) {
        vm->gdb = g;
        vm->on_debug = on_debug;
        vm_pause(vm);
        if (pthread_create(&g->thread, NULL, gdb_thread, g)) {
            vm_resume(vm);
            ret = vm_fail(vm, -EAGAIN, "--gdb: cannot start a thread");
        }
    }
    if (!ret)
        return 0;
    vm->gdb = NULL;
    vm->on_debug = NULL;
    if (g->listener >= 0)
        close(g->listener);
    if (g->event >= 0)
        close(g->event);
    free(g);
    return ret;
}

void gdb_destroy(struct vm *vm)
{
    struct gdb *g = vm->gdb;
    uint64_t one = 1;
    if (!g)
        return;
    pthread_mutex_lock(&g->lock);
    g->quit = true;
    pthread_mutex_unlock(&g->lock);
    if (write(g->event, &one, sizeof(one)) < 0)
        log_warn(LOG_GDB, "gdb: cannot signal the end");
    pthread_join(g->thread, NULL);
    vm->gdb = NULL;
    vm->on_debug = NULL;
    close(g->listener);
    close(g->event);
    pthread_mutex_destroy(&g->lock);
    free(g);
}
