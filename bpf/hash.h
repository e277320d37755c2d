/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
 *
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) over whole 64-bit words.
 * The key is the farm's secret, so a client cannot choose the node that it loads.
 */
#ifndef HASH_H
#define HASH_H

#include "farm.h"

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

struct sip {
	__u64 a, b, c, d;
};

static __always_inline void sip_round(struct sip *s)
{
	s->a += s->b; s->b = ROTATE(s->b, 13); s->b ^= s->a; s->a = ROTATE(s->a, 32);
	s->c += s->d; s->d = ROTATE(s->d, 16); s->d ^= s->c;
	s->a += s->d; s->d = ROTATE(s->d, 21); s->d ^= s->a;
	s->c += s->b; s->b = ROTATE(s->b, 17); s->b ^= s->c; s->c = ROTATE(s->c, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->d ^= word;
	sip_round(s);
	s->a ^= word;
}

/* The hash of `count` words, a constant at every call, so that the loop disappears. */
static __always_inline __u64 siphash13(const __u64 key[2], const __u64 *words, int count)
{
	struct sip s = {
		key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
		key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL,
	};

#pragma unroll
	for (int i = 0; i < count; i++)
		sip_word(&s, words[i]);
	sip_word(&s, (__u64)(count * 8) << 56);
	s.c ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

/* Which set of VIPs an address can be in. No secret here: an address is a VIP or is not, and a full set is refused
 * by the daemon, not met by a packet.
 */
static __always_inline __u32 vip_set_of(const struct address *a)
{
	return ((a->word[0] ^ a->word[1] ^ a->word[2] ^ a->word[3]) * VIP_SET_FACTOR) >> VIP_SET_SHIFT;
}

#endif
