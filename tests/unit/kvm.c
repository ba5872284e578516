/* SPDX-License-Identifier: BSD-2-Clause */
/* The kvm engine on this machine's /dev/kvm, as far as there is one. */
#include "tests/unit/engine_guests.h"

int main(void)
{
    char why[256] = "";
    struct engine_options opt = { .why = why, .why_size = sizeof(why) };
    struct rig g = { .ops = &engine_kvm };

    alarm(120); /* a KVM that hangs fails the test and does not hold it */
    setvbuf(stdout, NULL, _IOLBF, 0);
    int err = engine_kvm.open(&g.engine, &opt);
    if (err == -ENOENT || err == -ENODEV || err == -ENXIO || err == -EACCES || err == -EPERM) {
        printf("SKIP: %s\n", why);
        return 77;
    }
    if (err) {
        printf("%s\n", why);
        return 1;
    }
    guests_all(&g, 200);
    engine_kvm.close(g.engine);
    return unit_done("kvm");
}
