// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The filter of one interface. Two programs, one decision:
 *
 *   frame -> farm_xdp: not ours: dropped in the driver, before it costs anything
 *         -> farm_tc:  the same decision again (the only one where XDP is off), then ours is made acceptable:
 *                      a frame to the vmac is no longer "for another host", ARP and neighbour solicitations
 *                      for the VIP are answered
 *
 * Deciding twice costs tens of nanoseconds on packets that go on to cost microseconds, and keeps the rule "one
 * node answers" true when somebody takes the XDP program off the interface.
 *
 * bcc rewrites map accesses in this file only, so every one of them is here.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "farm.h"
#include "hash.h"
#include "parse.h"

#define HEADERS_MAX 192 /* the longest headers looked at: an ICMP error that quotes IPv6 with extensions */
#define PACKET_HOST 0
#define PACKET_OTHERHOST 3
#define MAPPED_MEMORY (1U << 10) /* BPF_F_MMAPABLE; bcc pastes the macro's text, so not the enum's name */

BPF_F_TABLE("array", __u32, struct slot, slots, SLOTS, MAPPED_MEMORY);
BPF_F_TABLE("array", __u32, struct bucket_table, bucket_tables, 2 * SLOTS, MAPPED_MEMORY);
BPF_TABLE("array", __u32, struct vip_set, vip_sets, VIP_SETS);
BPF_TABLE("hash", struct rule_key, struct rule, rules, RULES);
BPF_TABLE("percpu_array", __u32, struct clock, clocks, 1);
BPF_TABLE("percpu_array", __u32, struct counters, counters, SLOTS);
BPF_TABLE("percpu_array", __u32, struct bucket_packets, bucket_packets, SLOTS);

enum hook { XDP, TC };

/* What decide() found out, for the program that has to act on it. */
struct verdict {
	int pass;
	struct slot *slot; /* 0: the packet concerns no farm */
	__u32 slot_index;
	__u32 bucket;
	__u8 state;
};

/* A function, since bcc finds no map inside a macro. */
static __always_inline struct counters *counters_of(__u32 slot)
{
	return counters.lookup(&slot);
}

#define COUNT(slot, field, packets)                      \
	do {                                             \
		struct counters *c = counters_of(slot); \
		if (c)                                   \
			c->field += (packets);           \
	} while (0)

static __always_inline enum affinity affinity_of(struct slot *slot, __u32 index, struct packet *p)
{
	struct rule_key key = { .slot = index, .protocol = p->protocol, .port = p->vip_port };
	struct rule *rule;

	if (!slot->rules || !p->vip_port)
		return CLIENT;
	rule = rules.lookup(&key);
	return rule ? rule->affinity : CLIENT;
}

static __always_inline __u32 bucket_of(struct slot *slot, __u32 index, struct packet *p)
{
	enum affinity affinity = affinity_of(slot, index, p);
	__u64 ports = affinity == CONNECTION ? p->client_port | (__u64)p->vip_port << 16 : 0;

	if (p->family == 4) {
		__u32 client = affinity == NETWORK ? p->client.word[3] & net32(0xffffff00) : p->client.word[3];
		__u64 word = client | ports << 32;

		return siphash13(slot->hash_key, &word, 1) & (BUCKETS - 1);
	}
	__u64 words[3] = {
		p->client.word[0] | (__u64)p->client.word[1] << 32,
		affinity == NETWORK ? 0 : p->client.word[2] | (__u64)p->client.word[3] << 32,
		ports,
	};
	return siphash13(slot->hash_key, words, 3) & (BUCKETS - 1);
}

/* Whether a socket of this host, other than a listener, has the packet's flow. */
static __always_inline int flow_lives_here(void *ctx, struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	int lives;

	if (p->protocol != IPPROTO_TCP || !p->vip_port)
		return 0;
	if (p->family == 4) {
		tuple.ipv4.saddr = p->client.word[3];
		tuple.ipv4.daddr = p->vip.word[3];
		tuple.ipv4.sport = p->client_port;
		tuple.ipv4.dport = p->vip_port;
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &p->client, sizeof(p->client));
		__builtin_memcpy(tuple.ipv6.daddr, &p->vip, sizeof(p->vip));
		tuple.ipv6.sport = p->client_port;
		tuple.ipv6.dport = p->vip_port;
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!socket)
		return 0;
	lives = socket->state != BPF_TCP_LISTEN;
	bpf_sk_release(socket);
	return lives;
}

/* The slot of a virtual address, or an index beyond all slots if it is none. */
static __always_inline __u32 slot_of(struct address *vip)
{
	__u32 which = vip_set_of(vip);
	struct vip_set *set = vip_sets.lookup(&which);

	if (!set)
		return SLOTS;
#pragma unroll
	for (int i = 0; i < VIP_WAYS; i++)
		if (same_address(&set->way[i].address, vip))
			return set->way[i].slot_number - 1;
	return SLOTS;
}

/* The coarse monotonic clock. It moves with the kernel's tick, and reading the tick is a load where reading the clock is
 * a call, a third of the filter's cost; so each processor asks once per tick. The tick moves just before the clock, so
 * that this may lag by two ticks; farmd's timing allows for that.
 */
static __always_inline __u64 now_ns(void)
{
	__u32 only = 0;
	struct clock *clock = clocks.lookup(&only);
	__u64 tick = bpf_jiffies64();

	if (!clock)
		return bpf_ktime_get_coarse_ns();
	if (clock->tick != tick) {
		clock->now_ns = bpf_ktime_get_coarse_ns();
		clock->tick = tick;
	}
	return clock->now_ns;
}

/* The rule of the whole product: does this node answer this packet? Drops are counted here; passes where they end. */
static __always_inline struct verdict decide(void *ctx, struct packet *p)
{
	struct verdict v = {};
	struct bucket_table *table;
	__u32 which;

	v.pass = 1;
	if (p->kind == FOREIGN)
		return v;
	v.slot_index = slot_of(&p->vip);
	v.slot = slots.lookup(&v.slot_index);
	if (!v.slot)
		return v;
	v.pass = 0;
	if (now_ns() >= v.slot->lease_until_ns) {
		COUNT(v.slot_index, drop_fenced, 1);
		return v;
	}
	if (p->kind == MALFORMED) {
		COUNT(v.slot_index, drop_malformed, 1);
		return v;
	}
	which = 2 * v.slot_index + (v.slot->active & 1);
	table = bucket_tables.lookup(&which);
	if (!table)
		return v;
	v.bucket = bucket_of(v.slot, v.slot_index, p);
	v.state = table->state[v.bucket];
	switch (v.state) {
	case OWNED:
		v.pass = 1;
		return v;
	case DRAINING:
		v.pass = p->kind == FLOW && flow_lives_here(ctx, p);
		if (!v.pass)
			COUNT(v.slot_index, drop_draining, 1);
		return v;
	case FILLING:
		v.pass = p->kind != FLOW || flow_lives_here(ctx, p);
		if (!v.pass)
			COUNT(v.slot_index, drop_filling, 1);
		return v;
	}
	COUNT(v.slot_index, drop_other, 1);
	return v;
}

int farm_xdp(struct xdp_md *ctx)
{
	struct packet p;
	struct verdict v;

	parse(&p, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
	v = decide(ctx, &p);
	return v.pass ? XDP_PASS : XDP_DROP;
}

/* The headers must lie in the linear part of the buffer to be read through pointers. */
static __always_inline void pull_headers(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX;

	if ((void *)(long)skb->data + wanted > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, wanted);
}

/* Sends the frame, now our answer, back where it came from. The vmac stays inside: as an Ethernet source it
 * would be learnt by the switch, which then would stop flooding.
 */
static __always_inline int send_back(struct __sk_buff *skb, struct slot *slot, const __u8 to[6])
{
	__u8 macs[12];

	__builtin_memcpy(macs, to, 6);
	__builtin_memcpy(macs + 6, slot->mac, 6);
	if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int answer_arp(struct __sk_buff *skb, struct packet *p, struct slot *slot)
{
	struct arp arp;

	if (bpf_skb_load_bytes(skb, p->l3, &arp, sizeof(arp)))
		return TC_ACT_SHOT;
	arp.operation = net16(2);
	arp.target = arp.sender;
	__builtin_memcpy(arp.target_mac, arp.sender_mac, 6);
	arp.sender = p->vip.word[3];
	__builtin_memcpy(arp.sender_mac, slot->vmac, 6);
	if (bpf_skb_store_bytes(skb, p->l3, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return send_back(skb, slot, arp.target_mac);
}

/* What is sent behind the IPv6 header, and before it what the checksum covers besides (RFC 8200 section 8.1). */
struct advertisement {
	struct {
		struct address source, destination;
		__be32 length, next;
	} pseudo;
	struct neighbour body;
	__u8 option, option_length, vmac[6];
};

static __always_inline __u16 fold(__s64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int answer_neighbour(struct __sk_buff *skb, struct packet *p, struct slot *slot)
{
	const __u32 length = sizeof(struct advertisement) - sizeof(((struct advertisement *)0)->pseudo);
	struct advertisement na = {};
	struct ipv6hdr ip = {};
	struct ethhdr ethernet;
	int probe = !(p->client.word[0] | p->client.word[1] | p->client.word[2] | p->client.word[3]);

	if (bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)))
		return TC_ACT_SHOT;
	na.pseudo.source = p->vip;
	if (probe) { /* "is this address taken?" comes from no address: everybody is told (RFC 4861 section 7.2.4) */
		na.pseudo.destination.word[0] = net32(0xff020000);
		na.pseudo.destination.word[3] = net32(1);
		ethernet.h_source[0] = 0x33;
		ethernet.h_source[1] = 0x33;
		ethernet.h_source[2] = 0;
		ethernet.h_source[3] = 0;
		ethernet.h_source[4] = 0;
		ethernet.h_source[5] = 1;
		na.body.flags = net32(0x20000000); /* override */
	} else {
		na.pseudo.destination = p->client;
		na.body.flags = net32(0x60000000); /* solicited, override */
	}
	na.pseudo.length = net32(length);
	na.pseudo.next = net32(IPPROTO_ICMPV6);
	na.body.type = NEIGHBOUR_ADVERTISEMENT;
	na.body.target = p->vip;
	na.option = 2; /* target link-layer address */
	na.option_length = 1;
	__builtin_memcpy(na.vmac, slot->vmac, 6);
	na.body.checksum = fold(bpf_csum_diff(0, 0, (__be32 *)&na, sizeof(na), 0));

	ip.version = 6;
	ip.payload_len = net16(length);
	ip.nexthdr = IPPROTO_ICMPV6;
	ip.hop_limit = 255;
	__builtin_memcpy(&ip.saddr, &na.pseudo.source, sizeof(ip.saddr));
	__builtin_memcpy(&ip.daddr, &na.pseudo.destination, sizeof(ip.daddr));
	if (bpf_skb_change_tail(skb, p->l3 + sizeof(ip) + length, 0) ||
	    bpf_skb_store_bytes(skb, p->l3, &ip, sizeof(ip), 0) ||
	    bpf_skb_store_bytes(skb, p->l3 + sizeof(ip), &na.body, length, 0))
		return TC_ACT_SHOT;
	return send_back(skb, slot, ethernet.h_source);
}

static __always_inline void count_accepted(struct __sk_buff *skb, struct verdict *v)
{
	struct bucket_packets *of_bucket = bucket_packets.lookup(&v->slot_index);
	/* What arrives here may be several packets that the kernel merged on reception. */
	__u32 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;

	if (of_bucket)
		of_bucket->packets[v->bucket & (BUCKETS - 1)] += packets;
	if (v->state == OWNED)
		COUNT(v->slot_index, owned, packets);
	else if (v->state == DRAINING)
		COUNT(v->slot_index, draining, packets);
	else
		COUNT(v->slot_index, filling, packets);
}

int farm_tc(struct __sk_buff *skb)
{
	struct packet p;
	struct verdict v;

	pull_headers(skb);
	parse(&p, (void *)(long)skb->data, (void *)(long)skb->data_end);
	v = decide(skb, &p);
	if (!v.slot)
		return TC_ACT_UNSPEC; /* other filters on the interface go on */
	if (!v.pass)
		return TC_ACT_SHOT;
	if (p.kind == ARP) {
		COUNT(v.slot_index, arp, 1);
		return answer_arp(skb, &p, v.slot);
	}
	if (p.kind == NEIGHBOUR) {
		COUNT(v.slot_index, nd, 1);
		return answer_neighbour(skb, &p, v.slot);
	}
	if (skb->pkt_type == PACKET_OTHERHOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	count_accepted(skb, &v);
	return TC_ACT_UNSPEC;
}
