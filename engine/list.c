/* SPDX-License-Identifier: BSD-2-Clause */
/* The engines of this build, best first. */
#include "engine/engine.h"

const struct engine_ops *const engine_list[] = { &engine_kvm, &engine_soft, NULL };
