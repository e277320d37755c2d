/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
 *
 * From a frame to what the verdict needs: which address it is for, which client it belongs to, what kind of packet
 * it is. Pure functions on pointers; no map and no helper is touched here.
 */
#ifndef PARSE_H
#define PARSE_H

#include "farm.h"

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISEMENT 136
#define EXTENSIONS_MAX 5 /* IPv6 extension headers followed; hosts send at most one or two */
#define FRAGMENT_OFFSET 0x1fff
#define FRAGMENT_MORE 0x2000
#define IP6_FRAGMENT_OFFSET 0xfff8
#define IP6_FRAGMENT_MORE 0x0001

#define net16(x) __builtin_bswap16(x)
#define net32(x) __builtin_bswap32(x)

enum packet_kind {
	FOREIGN,   /* nothing that could be for a VIP */
	ARP,       /* a request who has the VIP */
	NEIGHBOUR, /* an IPv6 neighbour solicitation for the VIP */
	SYN,       /* TCP that opens a flow */
	FLOW,      /* TCP that belongs to a flow, or an ICMP error about one */
	DATAGRAM,  /* anything else: each packet stands alone */
	MALFORMED, /* for a VIP perhaps, but cut off or contradictory behind the addresses */
};

/* Ports are zero where the packet does not say them: fragments, protocols without ports. */
struct packet {
	struct address client;
	struct address vip;
	__be16 client_port;
	__be16 vip_port;
	__u16 l3;      /* where the network header starts */
	__u8 kind;     /* enum packet_kind */
	__u8 protocol; /* of the flow: for an ICMP error, of the packet it is about */
	__u8 family;   /* 4 or 6 */
};

struct vlan_tag {
	__be16 tci;
	__be16 protocol;
};

/* RFC 826 for Ethernet and IPv4; <linux/if_arp.h> leaves the addresses out. */
struct arp {
	__be16 hardware, protocol;
	__u8 hardware_length, protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__be32 sender;
	__u8 target_mac[6];
	__be32 target;
} __attribute__((packed));

/* RFC 4861 section 4.3 and 4.4: a solicitation and an advertisement have the same shape. */
struct neighbour {
	__u8 type, code;
	__be16 checksum;
	__be32 flags;
	struct address target;
};

struct fragment_header {
	__u8 next, reserved;
	__be16 offset;
	__be32 identification;
};

struct extension_header {
	__u8 next, length; /* in 8 octets, without the first 8 */
};

/* Not __builtin_memcmp: clang makes a library call of it, and there is no library here. */
static __always_inline int same_address(const struct address *one, const struct address *two)
{
	return one->word[3] == two->word[3] && one->word[2] == two->word[2] && one->word[1] == two->word[1] &&
	       one->word[0] == two->word[0];
}

static __always_inline void map_ip4(struct address *to, __be32 address)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = net32(0x0000ffff);
	to->word[3] = address;
}

static __always_inline void copy_ip6(struct address *to, const struct in6_addr *from)
{
	__builtin_memcpy(to, from, sizeof(*to));
}

/* An ICMP error is about a packet that we sent: its source is the VIP and its destination the client. */
static __always_inline void turn_ports(struct packet *p, __be16 source, __be16 destination, int about)
{
	p->client_port = about ? destination : source;
	p->vip_port = about ? source : destination;
}

/* TCP, UDP and whatever has no ports. `about`: the header is the one quoted in an ICMP error, of which RFC 792
 * promises eight octets: both ports, but not the flags.
 */
static __always_inline void parse_transport(struct packet *p, void *at, void *end, __u8 protocol, int about)
{
	p->protocol = protocol;
	p->kind = DATAGRAM;
	if (protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = at;

		p->kind = MALFORMED;
		if (at + 8 > end || (!about && (void *)(tcp + 1) > end))
			return;
		turn_ports(p, tcp->source, tcp->dest, about);
		p->kind = !about && tcp->syn && !tcp->ack ? SYN : FLOW;
	} else if (protocol == IPPROTO_UDP) {
		struct udphdr *udp = at;

		p->kind = MALFORMED;
		if ((void *)(udp + 1) > end)
			return;
		turn_ports(p, udp->source, udp->dest, about);
		p->kind = DATAGRAM;
	}
}

/* A fragment carries no ports but the first, so all of them, the first included, go by the address alone. */
static __always_inline void parse_fragment(struct packet *p, __u8 protocol)
{
	p->protocol = protocol;
	p->kind = protocol == IPPROTO_TCP ? FLOW : DATAGRAM;
}

/* The packet quoted in an ICMP error: a router tells *us* about our packet, but it must reach the node that
 * sent it, so the quoted destination is the client (this is what keeps path-MTU discovery alive, RFC 1191).
 */
static __always_inline void parse_quoted_ip4(struct packet *p, void *at, void *end)
{
	struct iphdr *ip = at;

	p->kind = MALFORMED;
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 || ip->saddr != p->vip.word[3])
		return;
	map_ip4(&p->client, ip->daddr);
	if (ip->frag_off & net16(FRAGMENT_OFFSET | FRAGMENT_MORE))
		parse_fragment(p, ip->protocol);
	else
		parse_transport(p, at + ip->ihl * 4, end, ip->protocol, 1);
}

static __always_inline void parse_icmp4(struct packet *p, void *at, void *end)
{
	struct icmphdr *icmp = at;

	p->protocol = IPPROTO_ICMP;
	p->kind = MALFORMED;
	if ((void *)(icmp + 1) > end)
		return;
	switch (icmp->type) {
	case ICMP_DEST_UNREACH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		parse_quoted_ip4(p, icmp + 1, end);
		return;
	}
	p->kind = DATAGRAM;
}

static __always_inline void parse_ip4(struct packet *p, void *at, void *end)
{
	struct iphdr *ip = at;

	if ((void *)(ip + 1) > end || ip->version != 4)
		return;
	p->family = 4;
	map_ip4(&p->vip, ip->daddr);
	map_ip4(&p->client, ip->saddr);
	p->kind = MALFORMED;
	if (ip->ihl < 5)
		return;
	at += ip->ihl * 4;
	if (ip->frag_off & net16(FRAGMENT_OFFSET | FRAGMENT_MORE))
		parse_fragment(p, ip->protocol);
	else if (ip->protocol == IPPROTO_ICMP)
		parse_icmp4(p, at, end);
	else
		parse_transport(p, at, end, ip->protocol, 0);
}

/* Steps over extension headers. Returns where the payload starts, or 0 if the chain is cut off or too long;
 * `next` becomes the payload's protocol and `fragmented` whether it is only a part.
 */
static __always_inline void *skip_extensions(void *at, void *end, __u8 *next, int *fragmented)
{
#pragma unroll
	for (int i = 0; i <= EXTENSIONS_MAX; i++) {
		struct extension_header *extension = at;
		struct fragment_header *fragment = at;

		switch (*next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if ((void *)(extension + 1) > end)
				return 0;
			*next = extension->next;
			at += 8 + extension->length * 8;
			break;
		case IPPROTO_AH: /* counts in 4 octets, RFC 4302 section 2.2 */
			if ((void *)(extension + 1) > end)
				return 0;
			*next = extension->next;
			at += 8 + extension->length * 4;
			break;
		case IPPROTO_FRAGMENT:
			if ((void *)(fragment + 1) > end)
				return 0;
			*next = fragment->next;
			*fragmented = !!(fragment->offset & net16(IP6_FRAGMENT_OFFSET | IP6_FRAGMENT_MORE));
			at += sizeof(*fragment);
			if (*fragmented)
				return at;
			break;
		default:
			return at;
		}
	}
	return 0;
}

static __always_inline void parse_quoted_ip6(struct packet *p, void *at, void *end)
{
	struct ipv6hdr *ip = at;
	struct address source;
	int fragmented = 0;
	__u8 next;

	p->kind = MALFORMED;
	if ((void *)(ip + 1) > end || ip->version != 6)
		return;
	copy_ip6(&source, &ip->saddr);
	if (!same_address(&source, &p->vip))
		return;
	copy_ip6(&p->client, &ip->daddr);
	next = ip->nexthdr;
	at = skip_extensions(ip + 1, end, &next, &fragmented);
	if (!at)
		return;
	if (fragmented)
		parse_fragment(p, next);
	else
		parse_transport(p, at, end, next, 1);
}

static __always_inline void parse_icmp6(struct packet *p, struct ipv6hdr *ip, void *at, void *end)
{
	struct icmp6hdr *icmp = at;
	struct neighbour *ns = at;

	p->protocol = IPPROTO_ICMPV6;
	p->kind = MALFORMED;
	if ((void *)(icmp + 1) > end)
		return;
	if (icmp->icmp6_type < ICMPV6_INFOMSG_MASK) { /* RFC 4443 section 2.1: below 128 are errors */
		parse_quoted_ip6(p, icmp + 1, end);
		return;
	}
	if (icmp->icmp6_type == NEIGHBOUR_SOLICITATION) {
		if ((void *)(ns + 1) > end || ns->code || ip->hop_limit != 255) /* RFC 4861 section 7.1.1 */
			return;
		/* Mostly sent to the target's solicited-node group, so what counts is the target. */
		p->vip = ns->target;
		p->kind = NEIGHBOUR;
		return;
	}
	p->kind = DATAGRAM;
}

static __always_inline void parse_ip6(struct packet *p, void *at, void *end)
{
	struct ipv6hdr *ip = at;
	int fragmented = 0;
	__u8 next;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return;
	p->family = 6;
	copy_ip6(&p->vip, &ip->daddr);
	copy_ip6(&p->client, &ip->saddr);
	p->kind = MALFORMED;
	next = ip->nexthdr;
	at = skip_extensions(ip + 1, end, &next, &fragmented);
	if (!at)
		return;
	if (fragmented)
		parse_fragment(p, next);
	else if (next == IPPROTO_ICMPV6)
		parse_icmp6(p, ip, at, end);
	else
		parse_transport(p, at, end, next, 0);
}

static __always_inline void parse_arp(struct packet *p, void *at, void *end)
{
	struct arp *arp = at;

	if ((void *)(arp + 1) > end || arp->hardware != net16(1) || arp->protocol != net16(ETH_P_IP) ||
	    arp->hardware_length != 6 || arp->protocol_length != 4 || arp->operation != net16(1))
		return;
	p->family = 4;
	map_ip4(&p->vip, arp->target);
	map_ip4(&p->client, arp->sender);
	p->kind = ARP;
}

/* At most one VLAN tag: the NIC or the kernel takes it off before TC, but XDP may see it. */
static __always_inline void parse(struct packet *p, void *data, void *end)
{
	struct ethhdr *ethernet = data;
	void *at = ethernet + 1;
	__be16 protocol;

	p->kind = FOREIGN;
	p->client_port = 0;
	p->vip_port = 0;
	p->protocol = 0;
	if (at > end)
		return;
	protocol = ethernet->h_proto;
	if (protocol == net16(ETH_P_8021Q) || protocol == net16(ETH_P_8021AD)) {
		struct vlan_tag *tag = at;

		at = tag + 1;
		if (at > end)
			return;
		protocol = tag->protocol;
	}
	p->l3 = at - data;
	if (protocol == net16(ETH_P_IP))
		parse_ip4(p, at, end);
	else if (protocol == net16(ETH_P_IPV6))
		parse_ip6(p, at, end);
	else if (protocol == net16(ETH_P_ARP))
		parse_arp(p, at, end);
}

#endif
