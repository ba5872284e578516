/* SPDX-License-Identifier: BSD-2-Clause */
/* `trapeze doctor`: tries every engine with the self-test guest and says which one `auto` takes,
 * and why. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "engine/selftest.h"

enum { TIMEOUT_MS = 3000 };

static const char *const verdicts[] = {
    [SELFTEST_PASSED] = "passed",
    [SELFTEST_NO_DEVICE] = "no-device",
    [SELFTEST_NO_PERMISSION] = "no-permission",
    [SELFTEST_UNUSABLE] = "unusable",
    [SELFTEST_FAILED] = "self-test-failed",
    [SELFTEST_TIMEOUT] = "self-test-timeout",
};

/* What a user can do about it. */
static const char *advice(const char *engine, const struct selftest_result *r)
{
    if (strcmp(engine, "kvm"))
        return r->verdict == SELFTEST_FAILED || r->verdict == SELFTEST_TIMEOUT
                   ? "please report this"
                   : NULL;
    switch (r->verdict) {
    case SELFTEST_NO_DEVICE:
        return "if this is real hardware: enable VT-x or AMD-V in the firmware and load kvm_intel "
               "or kvm_amd; "
               "in a cloud VM: nested virtualization is off";
    case SELFTEST_NO_PERMISSION:
        return "join the group that owns the device: usermod -a -G kvm $USER, then log in anew";
    case SELFTEST_FAILED:
    case SELFTEST_TIMEOUT: return "this KVM cannot run real guests; the software engine can";
    default: return NULL;
    }
}

/* A string as JSON; what we print is plain ASCII text but for paths. */
static void print_json(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        if ((unsigned char)*text < 0x20)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

/* Vendor extensions the processor claims, as the host's /proc/cpuinfo tells them: a hint next to
 * the verdict. */
static const char *hardware(void)
{
    static char line[8192];
    const char *found = "none";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, "flags", 5)) {
            if (strstr(line, " vmx"))
                found = "VMX";
            else if (strstr(line, " svm"))
                found = "SVM";
            break;
        }
    if (f)
        fclose(f);
    return found;
}

static void help(void)
{
    printf(
        "Usage: trapeze doctor [--json] [--device FILE] [--soft MODE]\n"
        "Tries every engine with a short guest and says which one --engine auto takes, and why.\n\n"
        "  --json         machine-readable\n"
        "  --device FILE  the KVM device [/dev/kvm]\n"
        "  --soft MODE    try the software engine this way: interp, translate\n\n"
        "Exit status: 0 an engine works, 8 none does, 2 bad usage.\n");
}

int cli_doctor(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "device", required_argument, NULL, 'd' },
        { "soft", required_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct engine_options opt = { 0 };
    bool json = false;
    const char *choice = NULL;
    char way[256];
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        switch (c) {
        case 'j': json = true; break;
        case 'd': opt.device = optarg; break;
        case 's':
            if (strcmp(optarg, "interp") && strcmp(optarg, "translate"))
                return cli_usage("--soft: '%s' is not interp or translate", optarg);
            opt.soft = optarg;
            break;
        case 'h': help(); return CLI_OK;
        case ':': return cli_usage("%s needs a value", argv[optind - 1]);
        default: return cli_usage("unknown or ambiguous option '%s'", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return cli_usage("doctor takes no '%s'", argv[optind]);
    printf(json ? "{" : "processor: hardware virtualization: %s\n", hardware());
    for (unsigned i = 0; engine_list[i]; i++) {
        struct selftest_result r;
        bool usable = !engine_selftest(engine_list[i], &opt, TIMEOUT_MS, &r);
        const char *name = engine_list[i]->name, *tip = advice(name, &r);
        way[0] = 0;
        if (engine_list[i]->describe)
            (void)engine_list[i]->describe(&opt, way, sizeof(way));
        if (usable && !choice)
            choice = name;
        if (json) {
            printf("%s\"%s\":{\"usable\":%s,\"verdict\":\"%s\",\"step\":", i ? "," : "", name,
                   usable ? "true" : "false", verdicts[r.verdict]);
            if (r.step)
                print_json(r.step);
            else
                printf("null");
            printf(",\"reason\":");
            print_json(r.reason);
            if (way[0]) {
                printf(",\"way\":");
                print_json(way);
            }
            printf(",\"microseconds\":%u}", r.microseconds);
        } else {
            printf("%s: %s: %s\n", name, usable ? "usable" : "not usable", r.reason);
            if (way[0] && usable)
                printf("     %s\n", way);
            if (tip && !usable)
                printf("     %s\n", tip);
        }
        fflush(stdout);
    }
    if (json) {
        printf(",\"hardware\":");
        print_json(hardware());
        printf(",\"auto\":");
        if (choice)
            print_json(choice);
        else
            printf("null");
        printf("}\n");
    } else
        printf("auto: %s\n", choice ? choice : "no engine works");
    return choice ? CLI_OK : CLI_INTERNAL;
}
