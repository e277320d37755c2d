/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
 *
 * Everything the kernel and user space must agree on: limits, states, structs. This file is the only
 * definition. The loader asks the compiler for the layouts and hands them to Python, which never repeats them.
 */
#ifndef FARM_H
#define FARM_H

#include <linux/types.h>

#define BUCKETS 1024 /* a power of two: the bucket is the low bits of the hash */
#define SLOTS 16     /* farms and mirrors on one interface */
#define VIP_SETS 64  /* a power of two; virtual addresses are kept as in a processor's cache, in sets ... */
#define VIP_SET_FACTOR 2654435769u /* 2^32 divided by the golden ratio (Knuth, TAOCP 6.4) */
#define VIP_SET_SHIFT 26           /* 32 - log2(VIP_SETS) */
#define VIP_WAYS 4   /* ... of a few ways: one array access and no chain, a quarter of a hash map's cost */
#define RULES 4096   /* (slot, protocol, port) with an affinity of their own */

/* What this node does with new and old flows of a bucket. */
enum bucket_state {
	OTHER,    /* another node's: drop everything */
	OWNED,    /* ours: pass everything */
	DRAINING, /* given away: pass only packets of flows that live here */
	FILLING,  /* received from a node that still lives: pass new flows and flows that live here */
};

/* How much of a packet decides about its bucket. */
enum affinity {
	CLIENT,     /* the client's address */
	NETWORK,    /* its /24 (IPv4) or /64 (IPv6) */
	CONNECTION, /* its address and both ports */
};

/* An IPv6 address, or an IPv4 address mapped into one (::ffff:a.b.c.d), in network byte order. */
struct address {
	__u32 word[4];
};

/* One farm on this interface. User space maps the array into its memory, so that renewing the lease and
 * switching tables are single stores.
 */
struct slot {
	__u64 lease_until_ns; /* CLOCK_MONOTONIC; past it the farm answers nothing */
	__u64 hash_key[2];
	__u32 active;         /* which of the slot's two bucket tables counts */
	__u32 rules;          /* how many entries of the rule map are this slot's; 0 spares the look-up */
	__u8 mac[6];          /* the interface's own address, the Ethernet source of our answers */
	__u8 vmac[6];         /* the farm's address, inside the answers; never an Ethernet source */
	char farm[36];        /* the farm's name; empty: the slot is free */
};

/* A virtual address and the slot whose it is, counted from one, so that a free way, all zeros, belongs to nobody
 * even for a packet to the address zero.
 */
struct vip {
	struct address address;
	__u32 slot_number;
};

/* The set of an address: VIP_SET_FACTOR times the exclusive or of its words, the topmost bits. */
struct vip_set {
	struct vip way[VIP_WAYS];
};

struct rule_key {
	__u16 slot;
	__u16 protocol;
	__be16 port;
	__u16 zero;
};

struct rule {
	enum affinity affinity;
};

/* One byte per bucket, an enum bucket_state. Table 2 * slot + slot.active is in force. */
struct bucket_table {
	__u8 state[BUCKETS];
};

struct bucket_packets {
	__u64 packets[BUCKETS];
};

/* What a processor read off the clock in the kernel's current tick. */
struct clock {
	__u64 tick;
	__u64 now_ns;
};

/* One named counter per reason, per slot and processor. A packet is counted once: where it is dropped, or where
 * the TC program accepts it. A counter added here appears in every view of it by itself.
 */
struct counters {
	__u64 owned;         /* passed: the bucket is ours */
	__u64 draining;      /* passed: an old flow of a bucket given away */
	__u64 filling;       /* passed: a new flow, or one that lives here, of a bucket received */
	__u64 arp;           /* ARP requests answered */
	__u64 nd;            /* IPv6 neighbour solicitations answered */
	__u64 drop_other;    /* dropped: the bucket is another node's */
	__u64 drop_draining; /* dropped: no flow of ours in a bucket given away */
	__u64 drop_filling;  /* dropped: a flow that may live elsewhere in a bucket received */
	__u64 drop_fenced;   /* dropped: the lease has ended */
	__u64 drop_malformed; /* dropped: cut off or contradictory after the addresses */
};

#endif
