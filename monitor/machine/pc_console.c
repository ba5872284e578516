/* SPDX-License-Identifier: BSD-2-Clause */
/* One terminal for the serial port, the virtio console and the VGA text: output from all, input to
 * where the guest's prompt is. */
#include "monitor/machine/pc_console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/chardev.h"

struct port {
    struct pc_console *console;
    struct char_sink sink; /* room NULL: takes no input */
};

struct pc_console {
    struct vm *vm;
    struct chardev *dev;
    struct char_backend out;
    struct port port[PC_CONSOLE_PORTS];
    struct port *input; /* NULL: nobody yet */
    struct port *last;  /* who wrote last */
    bool mid_line;
};

static void on_quit(void *arg) { vm_end(arg, VM_QUIT, 0); }

static void on_prompt(void *arg)
{
    struct vm *vm = arg;
    if (vm->prompt)
        vm->prompt(vm, vm->prompt_arg);
}

/* A screen has no newline after its last line; what follows from elsewhere gets its own. */
static void end_screen_line(struct pc_console *c)
{
    if (c->mid_line && c->last == &c->port[PC_CONSOLE_VGA])
        c->out.write(c->out.ctx, "\n", 1);
    c->mid_line = false;
}

static size_t port_write(void *ctx, const void *buf, size_t len)
{
    struct port *p = ctx;
    struct pc_console *c = p->console;
    if (c->input != p && p->sink.room) {
        c->input = p;
        c->out.resume(c->out.ctx);
    }
    if (c->last != p)
        end_screen_line(c);
    c->last = p;
    size_t n = c->out.write(c->out.ctx, buf, len);
    if (n)
        c->mid_line = ((const char *)buf)[n - 1] != '\n';
    return n;
}

static void port_resume(void *ctx)
{
    struct port *p = ctx;
    if (p->console->input == p)
        p->console->out.resume(p->console->out.ctx);
}

static size_t input_room(void *dev)
{
    const struct pc_console *c = dev;
    return c->input->sink.room(c->input->sink.dev);
}

static void input(void *dev, const uint8_t *buf, size_t len)
{
    const struct pc_console *c = dev;
    c->input->sink.input(c->input->sink.dev, buf, len);
}

struct char_backend pc_console_backend(struct pc_console *c, enum pc_console_port which)
{
    return (
        struct char_backend){ .write = port_write, .resume = port_resume, .ctx = &c->port[which] };
}

void pc_console_attach(struct pc_console *c, enum pc_console_port which, struct char_sink sink)
{
    const struct char_sink all = { .room = input_room, .input = input, .dev = c };
    c->port[which].sink = sink;
    if (c->input)
        return;
    c->input = &c->port[which];
    chardev_set_sink(c->dev, &all);
}

int pc_console_create(struct pc_console **out, struct vm *vm)
{
    const struct config *config = vm->config;
    const struct chardev_keys keys = { .quit = on_quit, .prompt = on_prompt, .arg = vm };
    struct pc_console *c = *out = calloc(1, sizeof(*c));
    char why[256] = "";
    int err = -EINVAL;
    if (!c)
        return vm_fail(vm, -ENOMEM, "machine: out of memory");
    c->vm = vm;
    for (unsigned i = 0; i < PC_CONSOLE_PORTS; i++)
        c->port[i].console = c;
    switch (config->console) {
    case CONSOLE_STDIO: err = chardev_stdio(&c->dev, vm->loop, &keys); break;
    case CONSOLE_NONE: err = chardev_null(&c->dev); break;
    case CONSOLE_FILE: err = chardev_file(&c->dev, config->console_path, why, sizeof(why)); break;
    case CONSOLE_UNIX:
        err = chardev_unix(&c->dev, vm->loop, config->console_path, why, sizeof(why));
        break;
    }
    if (err < 0)
        return vm_fail(vm, err, "--console: %s", why[0] ? why : strerror(-err));
    c->out = chardev_backend(c->dev);
    vm->console = c->dev;
    return 0;
}

void pc_console_destroy(struct pc_console *c)
{
    if (!c)
        return;
    if (c->dev) {
        end_screen_line(c);
        chardev_flush(c->dev);
        chardev_set_sink(c->dev, NULL);
        chardev_destroy(c->dev);
    }
    c->vm->console = NULL;
    free(c);
}
