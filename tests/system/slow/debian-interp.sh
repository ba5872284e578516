#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The Debian session on the emulator alone.
SOFT=interp exec tests/system/debian.sh
