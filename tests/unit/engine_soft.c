/* SPDX-License-Identifier: BSD-2-Clause */
/* The soft engine runs the same small guests as the kvm engine. */
#include "tests/unit/engine_guests.h"

int main(void)
{
    struct rig g = { .ops = &engine_soft };

    alarm(120);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (engine_soft.open(&g.engine, NULL))
        return 1;
    guests_all(&g, 500);
    engine_soft.close(g.engine);
    return unit_done("engine_soft");
}
