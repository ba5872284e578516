#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The same session under the translator.
SOFT=translate exec tests/system/slow/debian.sh
