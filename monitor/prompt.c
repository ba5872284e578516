/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor prompt behind Ctrl-a c. */
#include "monitor/prompt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/chardev.h"

struct prompt {
    struct vm *vm;
    struct char_sink sink, guest; /* ours; the one to give back */
    bool open;
    char line[128];
    unsigned len;
};

/* ---- commands ---- */

static void cmd_registers(struct vm *vm, const char *arg, FILE *out)
{
    char *end;
    unsigned long id = *arg ? strtoul(arg, &end, 10) : 0;
    if ((*arg && *end) || id >= vm->vcpus) {
        fprintf(out, "there is no vCPU '%s'\n", arg);
        return;
    }
    vm_pause(vm);
    vm_dump_vcpu(vm, (unsigned)id, out);
    vm_resume(vm);
}

static void cmd_mem(struct vm *vm, const char *arg, FILE *out)
{
    (void)arg;
    vm_pause(vm);
    prompt_info_mem(vm, 0, out);
    vm_resume(vm);
}

static void cmd_stats(struct vm *vm, const char *arg, FILE *out)
{
    (void)arg;
    vm_pause(vm);
    vm_stats(vm, out);
    vm_resume(vm);
}

static void inject_nmi(struct vcpu *v, void *arg) { *(int *)arg = v->vm->ops->nmi(v->vcpu); }

static void cmd_nmi(struct vm *vm, const char *arg, FILE *out)
{
    (void)arg;
    vm_pause(vm);
    for (unsigned i = 0; i < vm->vcpus; i++) {
        int ret = -EIO;
        vm_on_vcpu(vm, i, inject_nmi, &ret);
        if (ret)
            fprintf(out, "vCPU %u: %s\n", i, strerror(-ret));
    }
    vm_resume(vm);
}

static void cmd_reset(struct vm *vm, const char *arg, FILE *out)
{
    (void)arg;
    (void)out;
    vm_end(vm, VM_RESET, 0);
}

static void cmd_powerdown(struct vm *vm, const char *arg, FILE *out)
{
    (void)arg;
    (void)out;
    machine_powerdown(vm);
}

static void cmd_quit(struct vm *vm, const char *arg, FILE *out)
{
    (void)arg;
    (void)out;
    vm_end(vm, VM_QUIT, 0);
}

static void cmd_help(struct vm *vm, const char *arg, FILE *out);
static void cmd_cont(struct vm *vm, const char *arg, FILE *out) { (void)vm, (void)arg, (void)out; }

static const struct {
    const char *name, *help;
    void (*run)(struct vm *, const char *arg, FILE *out);
    bool closes; /* the prompt, so that the guest has the console again */
} commands[] = {
    { "info registers", "[N]: registers of vCPU N", cmd_registers, false },
    { "info mem", "what the page tables of vCPU 0 map", cmd_mem, false },
    { "info stats", "counters", cmd_stats, false },
    { "nmi", "a non-maskable interrupt to every vCPU", cmd_nmi, true },
    { "powerdown", "presses the power button", cmd_powerdown, true },
    { "reset", "resets the machine", cmd_reset, true },
    { "cont", "back to the guest's console (also an empty line)", cmd_cont, true },
    { "quit", "ends the virtual machine", cmd_quit, true },
    { "help", "this list", cmd_help, false },
};

static void cmd_help(struct vm *vm, const char *arg, FILE *out)
{
    (void)vm;
    (void)arg;
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "%-16s %s\n", commands[i].name, commands[i].help);
}

bool prompt_command(struct vm *vm, const char *line, FILE *out)
{
    line += strspn(line, " ");
    if (!*line)
        return true;
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        size_t n = strlen(commands[i].name);
        if (!strncmp(line, commands[i].name, n) && (line[n] == ' ' || !line[n])) {
            commands[i].run(vm, line + n + strspn(line + n, " "), out);
            return commands[i].closes;
        }
    }
    fprintf(out, "unknown command '%s'; help lists them\n", line);
    return false;
}

/* ---- the console side; everything on the loop's thread with the device lock held ---- */

/* "\n" → "\r\n": the terminal is in raw mode. */
static void put(struct prompt *p, const char *text, size_t len)
{
    struct char_backend out = chardev_backend(p->vm->console);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            out.write(out.ctx, "\r", 1);
        out.write(out.ctx, text + i, 1);
    }
}

static void show_prompt(struct prompt *p) { put(p, "(trapeze) ", 10); }

static void close_prompt(struct prompt *p)
{
    p->open = false;
    chardev_set_sink(p->vm->console, &p->guest);
}

static void run_line(struct prompt *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    put(p, "\n", 1);
    p->line[p->len] = 0;
    p->len = 0;
    if (!out)
        return close_prompt(p);
    bool closes = prompt_command(p->vm, p->line, out);
    fclose(out);
    put(p, text, size);
    free(text);
    if (closes)
        close_prompt(p);
    else
        show_prompt(p);
}

static void key(struct prompt *p, uint8_t c)
{
    if (c == '\r' || c == '\n')
        run_line(p);
    else if ((c == 0x7f || c == 8) && p->len) {
        p->len--;
        put(p, "\b \b", 3);
    } else if (c == 4 || c == 3) { /* Ctrl-d, Ctrl-c */
        put(p, "\n", 1);
        p->len = 0;
        close_prompt(p);
    } else if (c >= ' ' && c < 0x7f && p->len < sizeof(p->line) - 1) {
        p->line[p->len++] = (char)c;
        put(p, (const char *)&c, 1);
    }
}

/* A byte at a time: what follows the line that closes the prompt is the guest's. */
static size_t sink_room(void *dev)
{
    (void)dev;
    return 1;
}

static void sink_input(void *dev, const uint8_t *buf, size_t len)
{
    struct prompt *p = dev;
    for (size_t i = 0; i < len && p->open; i++)
        key(p, buf[i]);
}

static void open_prompt(struct vm *vm, void *arg)
{
    struct prompt *p = arg;
    (void)vm;
    if (p->open)
        return;
    p->open = true;
    p->len = 0;
    p->guest = chardev_sink(p->vm->console);
    chardev_set_sink(p->vm->console, &p->sink);
    put(p, "\n", 1);
    show_prompt(p);
}

int prompt_create(struct prompt **out, struct vm *vm)
{
    struct prompt *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->vm = vm;
    p->sink = (struct char_sink){ sink_room, sink_input, p };
    vm->prompt = open_prompt;
    vm->prompt_arg = p;
    *out = p;
    return 0;
}

void prompt_destroy(struct prompt *p)
{
    if (p)
        p->vm->prompt = NULL;
    free(p);
}
