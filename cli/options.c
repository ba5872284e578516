/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of `trapeze run` → struct config. Every value is checked here; errors name the option. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/log.h"

enum {
    OPT_ENGINE = 256,
    OPT_SOFT,
    OPT_KERNEL,
    OPT_INITRD,
    OPT_APPEND,
    OPT_MODULE,
    OPT_MEMORY,
    OPT_CPUS,
    OPT_DISK,
    OPT_NET,
    OPT_CONSOLE,
    OPT_DEBUG_EXIT,
    OPT_NO_REBOOT,
    OPT_STATS,
    OPT_PERF_MAP,
    OPT_TRACE,
    OPT_GDB,
    OPT_HELP,
};

static const struct option options[] = {
    { "engine", required_argument, NULL, OPT_ENGINE },
    { "soft", required_argument, NULL, OPT_SOFT },
    { "kernel", required_argument, NULL, OPT_KERNEL },
    { "initrd", required_argument, NULL, OPT_INITRD },
    { "append", required_argument, NULL, OPT_APPEND },
    { "module", required_argument, NULL, OPT_MODULE },
    { "memory", required_argument, NULL, OPT_MEMORY },
    { "cpus", required_argument, NULL, OPT_CPUS },
    { "disk", required_argument, NULL, OPT_DISK },
    { "net", required_argument, NULL, OPT_NET },
    { "console", required_argument, NULL, OPT_CONSOLE },
    { "debug-exit", no_argument, NULL, OPT_DEBUG_EXIT },
    { "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
    { "stats", no_argument, NULL, OPT_STATS },
    { "perf-map", optional_argument, NULL, OPT_PERF_MAP },
    { "trace", required_argument, NULL, OPT_TRACE },
    { "gdb", optional_argument, NULL, OPT_GDB },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

void cli_help_run(void)
{
    printf(
        "Usage: trapeze run [OPTION]... [KERNEL]\n"
        "Boots KERNEL: a Linux bzImage, an ELF file with a PVH note, a multiboot 1 or 2 image,\n"
        "or a raw 32-bit image (raw:FILE, loaded at 1 MiB).\n\n"
        "  --kernel FILE       the same as the argument KERNEL\n"
        "  --initrd FILE       initial RAM disk (Linux), or the first module (multiboot)\n"
        "  --module 'FILE ARG' further multiboot module; may be repeated\n"
        "  --append STRING     kernel command line\n"
        "  --memory SIZE       guest memory, suffix K, M, G [512M]\n"
        "  --cpus N            virtual processors [1]\n"
        "  --disk FILE[,ro][,direct]\n"
        "                      raw image or block device as virtio disk; may be repeated\n"
        "  --net user[,hostfwd=tcp:[ADDR:]PORT:GUESTPORT]...\n"
        "                      user-mode network, with ports of the host led into the guest\n"
        "  --net none          no network card [the default]\n"
        "  --console stdio|none|file:FILE|unix:PATH\n"
        "                      where the serial port goes [stdio]\n"
        "  --engine auto|kvm|soft\n"
        "                      what runs the guest's instructions [auto: KVM if its self-test "
        "passes]\n"
        "  --soft MODE[,cache=SIZE]\n"
        "                      way of the soft engine: interp, translate, or lockstep: both,\n"
        "                      compared; SIZE bounds the translated code a processor keeps "
        "[48M]\n"
        "  --debug-exit        a guest's write of V to port 0xf4 ends with exit status (V<<1)|1\n"
        "  --no-reboot         a guest reset ends the run\n"
        "  --gdb [HOST]:PORT   wait for gdb (target remote HOST:PORT) before the first "
        "instruction\n"
        "  --stats             print counters at the end\n"
        "  --perf-map[=FILE]   name translated guest code for perf, in /tmp/perf-PID.map; FILE "
        "holds\n"
        "                      symbols of the guest's kernel (nm, System.map, /proc/kallsyms)\n"
        "  --trace LIST        print events of subsystems, comma-separated, or all\n"
        "  --help              this text\n\n"
        "Keys on a terminal: Ctrl-a x quits, Ctrl-a c opens the monitor prompt, Ctrl-a a sends "
        "Ctrl-a.\n"
        "Exit status: 0 guest powered off, 2 bad usage, 4 could not start, 6 triple fault,\n"
        "8 engine failure, 10 guest reset with --no-reboot, 12 ended by the user.\n");
}

int cli_parse_size(const char *text, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    unsigned shift = 0;
    switch (*end) {
    case 'k':
    case 'K':
        shift = 10;
        end++;
        break;
    case 'm':
    case 'M':
        shift = 20;
        end++;
        break;
    case 'g':
    case 'G':
        shift = 30;
        end++;
        break;
    }
    if (errno || *end || !v || v > UINT64_MAX >> shift)
        return -EINVAL;
    *out = v << shift;
    return 0;
}

/* A whole decimal number in [min, max]. */
static int parse_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno || *end || v < min || v > max)
        return -EINVAL;
    *out = (unsigned)v;
    return 0;
}

static int parse_disk(char *text, struct config *c)
{
    if (c->disks == CONFIG_MAX_DISKS)
        return cli_usage("--disk: at most %d disks", CONFIG_MAX_DISKS);
    struct config_disk *d = &c->disk[c->disks++];
    d->path = text;
    for (char *comma; (comma = strrchr(text, ',')); *comma = 0) {
        if (!strcmp(comma, ",ro"))
            d->readonly = true;
        else if (!strcmp(comma, ",direct"))
            d->direct = true;
        else
            return cli_usage("--disk: unknown flag '%s' (known: ro, direct)", comma + 1);
    }
    return *text ? 0 : cli_usage("--disk: a file name is missing");
}

/* tcp:[ADDR:]PORT:GUESTPORT */
static int parse_forward(const char *text, struct config_net *n)
{
    char buf[64];
    char *part[4];
    unsigned parts = 0, host, guest;
    struct in_addr addr = { 0 };
    if (n->forwards == CONFIG_MAX_FWDS)
        return cli_usage("--net: at most %d hostfwd", CONFIG_MAX_FWDS);
    if (snprintf(buf, sizeof(buf), "%s", text) >= (int)sizeof(buf))
        return cli_usage("--net: hostfwd '%s' is too long", text);
    for (char *p = strtok(buf, ":"); p && parts < 4; p = strtok(NULL, ":"))
        part[parts++] = p;
    struct config_forward *f = &n->forward[n->forwards];
    if (parts < 3 || (strcmp(part[0], "tcp") && strcmp(part[0], "udp")) ||
        (parts == 4 && !inet_aton(part[1], &addr)) ||
        parse_number(part[parts - 2], 1, 65535, &host) ||
        parse_number(part[parts - 1], 1, 65535, &guest))
        return cli_usage("--net: bad hostfwd '%s' (want tcp:[ADDR:]PORT:GUESTPORT)", text);
    f->udp = !strcmp(part[0], "udp");
    f->host_addr = ntohl(addr.s_addr);
    f->host_port = (uint16_t)host;
    f->guest_port = (uint16_t)guest;
    n->forwards++;
    return 0;
}

static int parse_net(char *text, struct config *c)
{
    char *save;
    char *word = strtok_r(text, ",", &save);
    if (!word || (strcmp(word, "user") && strcmp(word, "none")))
        return cli_usage("--net: '%s' is neither user nor none", word ? word : "");
    if (!strcmp(word, "none"))
        return (word = strtok_r(NULL, ",", &save)) ? cli_usage("--net: none takes no '%s'", word)
                                                   : 0;
    if (c->nets == CONFIG_MAX_NETS)
        return cli_usage("--net: at most %d networks", CONFIG_MAX_NETS);
    struct config_net *n = &c->net[c->nets++];
    n->user = true;
    while ((word = strtok_r(NULL, ",", &save))) {
        if (strncmp(word, "hostfwd=", 8))
            return cli_usage("--net: unknown '%s' (known: hostfwd=)", word);
        int ret = parse_forward(word + 8, n);
        if (ret)
            return ret;
    }
    return 0;
}

static int parse_console(const char *text, struct config *c)
{
    if (!strcmp(text, "stdio"))
        c->console = CONSOLE_STDIO;
    else if (!strcmp(text, "none"))
        c->console = CONSOLE_NONE;
    else if (!strncmp(text, "file:", 5) && text[5])
        c->console = CONSOLE_FILE, c->console_path = text + 5;
    else if (!strncmp(text, "unix:", 5) && text[5])
        c->console = CONSOLE_UNIX, c->console_path = text + 5;
    else
        return cli_usage("--console: '%s' is not stdio, none, file:FILE or unix:PATH", text);
    return 0;
}

static int parse_gdb(const char *text, struct config *c)
{
    unsigned port;
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (text && (!colon || parse_number(colon + 1, 1, 65535, &port)))
        return cli_usage("--gdb: '%s' is not [HOST]:PORT", text);
    c->gdb = text ? text : ":1234";
    return 0;
}

static int is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(text, *list))
            return 1;
    return 0;
}

static int set_kernel(const char *file, struct config *c)
{
    if (c->kernel)
        return cli_usage("more than one kernel: '%s' and '%s'", c->kernel, file);
    c->kernel = file;
    return 0;
}

static int parse_soft(char *arg, struct config *c)
{
    static const char *const modes[] = { "interp", "translate", "lockstep", NULL };
    char *flag = strchr(arg, ',');

    if (flag)
        *flag++ = 0;
    c->soft_mode = arg;
    if (!is_one_of(arg, modes))
        return cli_usage("--soft: '%s' is not interp, translate or lockstep", arg);
    for (char *next; flag; flag = next) {
        next = strchr(flag, ',');
        if (next)
            *next++ = 0;
        if (!strcmp(flag, "nobmi2"))
            c->soft_no_bmi2 = true;
        else if (!strcmp(flag, "nowindow"))
            c->soft_no_window = true;
        else if (!strcmp(flag, "window"))
            c->soft_window = true;
        else if (strncmp(flag, "cache=", 6))
            return cli_usage("--soft: unknown flag '%s'", flag);
        else if (cli_parse_size(flag + 6, &c->soft_cache) || c->soft_cache < KiB(512) ||
                 c->soft_cache > MiB(128))
            return cli_usage("--soft: cache '%s' is not a size from 512K to 128M", flag + 6);
    }
    return 0;
}

static int parse_one(int opt, char *arg, struct config *c)
{
    static const char *const engines[] = { "auto", "kvm", "soft", NULL };
    const char *bad;
    unsigned n;
    switch (opt) {
    case OPT_ENGINE:
        c->engine = arg;
        return is_one_of(arg, engines) ? 0
                                       : cli_usage("--engine: '%s' is not auto, kvm or soft", arg);
    case OPT_SOFT: return parse_soft(arg, c);
    case OPT_KERNEL: return set_kernel(arg, c);
    case OPT_INITRD: c->initrd = arg; return 0;
    case OPT_APPEND: c->append = arg; return 0;
    case OPT_MODULE:
        if (c->modules == CONFIG_MAX_MODULES)
            return cli_usage("--module: at most %d modules", CONFIG_MAX_MODULES);
        c->module[c->modules++] = arg;
        return 0;
    case OPT_MEMORY:
        if (cli_parse_size(arg, &c->memory) || c->memory < MiB(2) || c->memory > GiB(512) ||
            c->memory % KiB(4))
            return cli_usage("--memory: '%s' is not a size from 2M to 512G, a multiple of 4K", arg);
        return 0;
    case OPT_CPUS:
        if (parse_number(arg, 1, CONFIG_MAX_CPUS, &n))
            return cli_usage("--cpus: '%s' is not a number from 1 to %d", arg, CONFIG_MAX_CPUS);
        c->cpus = n;
        return 0;
    case OPT_DISK: return parse_disk(arg, c);
    case OPT_NET: return parse_net(arg, c);
    case OPT_CONSOLE: return parse_console(arg, c);
    case OPT_DEBUG_EXIT: c->debug_exit = true; return 0;
    case OPT_NO_REBOOT: c->no_reboot = true; return 0;
    case OPT_STATS: c->stats = true; return 0;
    case OPT_PERF_MAP: c->perf_map = arg ? arg : ""; return 0;
    case OPT_TRACE:
        if (log_trace_parse(arg, &log_trace_mask, &bad))
            return cli_usage("--trace: unknown subsystem '%s'", bad);
        return 0;
    case OPT_GDB: return parse_gdb(arg, c);
    }
    return CLI_USAGE;
}

int cli_parse_run(int argc, char **argv, struct config *c)
{
    *c = (struct config){ .engine = "auto", .memory = MiB(512), .cpus = 1 };
    optind = 1;
    opterr = 0;
    for (int opt; (opt = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        int ret;
        if (opt == 'h' || opt == OPT_HELP) {
            cli_help_run();
            return -1;
        }
        if (opt == ':')
            return cli_usage("%s needs a value", argv[optind - 1]);
        if (opt == '?')
            return cli_usage("unknown or ambiguous option '%s'", argv[optind - 1]);
        if (opt == OPT_GDB && !optarg && optind < argc && strchr(argv[optind], ':'))
            optarg = argv[optind++]; /* --gdb :1234 as well as --gdb=:1234 */
        if ((ret = parse_one(opt, optarg, c)))
            return ret;
    }
    for (; optind < argc; optind++) {
        int ret = set_kernel(argv[optind], c);
        if (ret)
            return ret;
    }
    if (c->soft_mode && !strcmp(c->soft_mode, "lockstep") && c->cpus > 1)
        return cli_usage("--soft lockstep: only with one processor");
    return c->kernel ? 0 : cli_usage("a kernel is missing");
}
