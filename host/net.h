/* SPDX-License-Identifier: BSD-2-Clause */
/* User-mode network: NAT, DHCP, DNS and port forwarding through libslirp; no privileges. */
#ifndef HOST_NET_H
#define HOST_NET_H

#include "host/loop.h"

struct net;
struct net_forward {
    bool udp;
    uint32_t host_addr /* host order */;
    uint16_t host_port, guest_port;
};

/* receive(arg, frame, len): a frame for the guest, called on the loop with the lock held; false: no
 * room, dropped. */
WARN_UNUSED int net_user_create(struct net **out, struct loop *, const struct net_forward *,
                                unsigned forwards,
                                bool (*receive)(void *arg, const void *frame, size_t len),
                                void *arg, char *err, size_t err_len);
void net_destroy(struct net *);
void net_send(struct net *, const void *frame, size_t len); /* guest → outside; lock held */

#endif
