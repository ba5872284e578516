/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry point of the trapeze command: picks the subcommand. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/log.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    { "run", cli_run, "boot a kernel in a virtual machine" },
    { "doctor", cli_doctor, "say which engines work on this machine, and why" },
};

int cli_usage(const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_err(LOG_CLI, "%s (see trapeze --help)", text);
    return CLI_USAGE;
}

static void help(void)
{
    printf("Usage: trapeze COMMAND [OPTION]...\n"
           "Boots unmodified operating systems, with or without hardware virtualization.\n\n"
           "Commands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\n  --help     this text; `trapeze COMMAND --help` tells a command's options\n"
           "  --version  the version\n");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage("a command is missing");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help();
        return CLI_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("trapeze %s\n", TRAPEZE_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return cli_usage("unknown command '%s'", argv[1]);
}
