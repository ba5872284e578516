# SPDX-License-Identifier: BSD-2-Clause
# Bash completion for trapeze.
_trapeze() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "run doctor --help --version" -- "$cur")
        return
    fi
    case $prev in
    --engine) mapfile -t COMPREPLY < <(compgen -W "auto kvm soft" -- "$cur"); return ;;
    --soft) mapfile -t COMPREPLY < <(compgen -W "interp translate lockstep" -- "$cur"); return ;;
    --net) mapfile -t COMPREPLY < <(compgen -W "user none" -- "$cur"); return ;;
    --console) mapfile -t COMPREPLY < <(compgen -W "stdio none file: unix:" -- "$cur"); return ;;
    --trace)
        mapfile -t COMPREPLY < <(compgen -W "all cli vm loader engine cpu mmu intr irqchip pio mmio pci virtio block net serial device gdb" -- "$cur")
        return ;;
    --memory) mapfile -t COMPREPLY < <(compgen -W "256M 512M 1G 2G" -- "$cur"); return ;;
    --append | --cpus | --gdb) return ;;
    esac
    case ${COMP_WORDS[1]} in
    doctor) mapfile -t COMPREPLY < <(compgen -W "--json --device --soft --help" -- "$cur") ;;
    run)
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "--kernel --initrd --module --append --memory --cpus --disk --net --console --engine --soft --debug-exit --no-reboot --gdb --stats --perf-map --trace --help" -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi ;;
    esac
}
complete -o filenames -F _trapeze trapeze
