/* format.c - segment and block headers to and from bytes; docs/wal-format.md has the tables.
 *
 * Threads: any; pure functions. A header is trusted only after its checksum; magic, version and
 * checksum keep their places in every version, so that a newer one can be distinguished from
 * damage. */
#include "wal/format.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

enum segment_offsets {
    SEGMENT_MAGIC = 0,
    SEGMENT_VERSION = 8,
    SEGMENT_FLAGS = 12,
    SEGMENT_CLUSTER = 16,
    SEGMENT_NUMBER = 32,
    SEGMENT_FIRST_LSN = 40,
    SEGMENT_FIRST_INDEX = 48,
    SEGMENT_PREVIOUS_HASH = 56,
    SEGMENT_DURABLE_INDEX = 64,
    SEGMENT_CREATED_MS = 72,
    SEGMENT_BYTES = 80,
    SEGMENT_CHECKSUM = 88,
};

enum block_offsets {
    BLOCK_MAGIC = 0,
    BLOCK_VERSION = 8,
    BLOCK_TYPE = 12,
    BLOCK_RESERVED = 14,
    BLOCK_CLUSTER = 16,
    BLOCK_SEGMENT = 32,
    BLOCK_TERM = 40,
    BLOCK_INDEX = 48,
    BLOCK_PREVIOUS_HASH = 56,
    BLOCK_DURABLE_INDEX = 64,
    BLOCK_FIRST_LSN = 72,
    BLOCK_WALL_MS = 80,
    BLOCK_RECORD_COUNT = 88,
    BLOCK_PAYLOAD_BYTES = 92,
    BLOCK_PAYLOAD_HASH = 96,
    BLOCK_ENGINE_MS = 104, /* 6 bytes */
    BLOCK_BOOT_MS = 110,   /* 5 bytes */
    BLOCK_BOOT = 115,      /* 5 bytes */
    BLOCK_CHECKSUM = 120,
};

static_assert(SEGMENT_CHECKSUM + 8 == SEGMENT_HEADER_BYTES, "the checksum is last");
static_assert(BLOCK_CHECKSUM + 8 == BLOCK_HEADER_BYTES, "the checksum is last");

#define SEGMENT_FLAG_RECYCLED 1u
#define ENGINE_MS_BYTES       6u
#define BOOT_BYTES            5u

static_assert(BOOT_BYTES * 8 == CLOCK_BOOT_BITS, "a boot's number fits");

static const char segment_magic[] = "HFWALSEG";
static const char block_magic[] = "HFWALBLK";

void segment_header_encode(const struct segment_header *header, uint8_t *to)
{
    memset(to, 0, SEGMENT_HEADER_BYTES);
    memcpy(to + SEGMENT_MAGIC, segment_magic, 8);
    store_u32(to + SEGMENT_VERSION, WAL_FORMAT_VERSION);
    store_u32(to + SEGMENT_FLAGS, header->recycled ? SEGMENT_FLAG_RECYCLED : 0);
    id_to_bytes(header->cluster, to + SEGMENT_CLUSTER);
    store_u64(to + SEGMENT_NUMBER, header->number);
    store_u64(to + SEGMENT_FIRST_LSN, header->first_lsn);
    store_u64(to + SEGMENT_FIRST_INDEX, header->first_index);
    store_u64(to + SEGMENT_PREVIOUS_HASH, header->previous_hash);
    store_u64(to + SEGMENT_DURABLE_INDEX, header->durable_index);
    store_u64(to + SEGMENT_CREATED_MS, header->created_ms);
    store_u64(to + SEGMENT_BYTES, header->segment_bytes);
    store_u64(to + SEGMENT_CHECKSUM, hash_bytes(to, SEGMENT_CHECKSUM));
}

bool segment_header_intact(const uint8_t *from)
{
    return memcmp(from + SEGMENT_MAGIC, segment_magic, 8) == 0 &&
           load_u64(from + SEGMENT_CHECKSUM) == hash_bytes(from, SEGMENT_CHECKSUM);
}

/* Versions 1 and 2 differ in the records that a block may hold; 3 adds engine time. */
static bool version_known(uint32_t version)
{
    return version >= WAL_FORMAT_READ_MIN && version <= WAL_FORMAT_VERSION;
}

/* NULL when the header is one of a known version; else what is wrong with it. */
static const char *segment_header_fault(const uint8_t *from)
{
    if (memcmp(from + SEGMENT_MAGIC, segment_magic, 8) != 0) {
        return "no segment header here";
    }
    if (!segment_header_intact(from)) {
        return "the segment header's checksum does not match";
    }
    if (!version_known(load_u32(from + SEGMENT_VERSION))) {
        return "the segment was written by another version of the format";
    }
    if ((load_u32(from + SEGMENT_FLAGS) & ~SEGMENT_FLAG_RECYCLED) != 0) {
        return "reserved bits of the segment header are set";
    }
    return NULL;
}

bool segment_header_decode(struct segment_header *header, const uint8_t *from, const char **reason)
{
    *reason = segment_header_fault(from);
    if (*reason) {
        return false;
    }
    header->cluster = id_from_bytes(from + SEGMENT_CLUSTER);
    header->number = load_u64(from + SEGMENT_NUMBER);
    header->first_lsn = load_u64(from + SEGMENT_FIRST_LSN);
    header->first_index = load_u64(from + SEGMENT_FIRST_INDEX);
    header->previous_hash = load_u64(from + SEGMENT_PREVIOUS_HASH);
    header->durable_index = load_u64(from + SEGMENT_DURABLE_INDEX);
    header->created_ms = load_u64(from + SEGMENT_CREATED_MS);
    header->segment_bytes = load_u64(from + SEGMENT_BYTES);
    header->recycled = load_u32(from + SEGMENT_FLAGS) != 0;
    return true;
}

bool checkpoint_cluster_decode(struct id128 *cluster, const uint8_t *page, const char **reason)
{
    *reason = NULL;
    if (memcmp(page, CHECKPOINT_MAGIC, 8) != 0) {
        *reason = "no checkpoint header here";
    } else if (load_u64(page + CHECKPOINT_CHECKSUM_AT) !=
               hash_bytes(page, CHECKPOINT_CHECKSUM_AT)) {
        *reason = "the checkpoint header's checksum does not match";
    } else {
        *cluster = id_from_bytes(page + CHECKPOINT_CLUSTER_AT);
    }
    return !*reason;
}

/* The lowest bytes of a number that has no others. */
static void store_bytes(uint8_t *to, uint64_t value, unsigned bytes)
{
    CHECK(value >> (8 * bytes) == 0);
    for (unsigned i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t load_bytes(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

void block_header_encode(const struct block_header *header, uint8_t *to)
{
    CHECK(header->payload_bytes <= WAL_GROUP_BYTES_MAX);
    memset(to, 0, BLOCK_HEADER_BYTES);
    memcpy(to + BLOCK_MAGIC, block_magic, 8);
    store_u32(to + BLOCK_VERSION, header->version ? header->version : WAL_FORMAT_VERSION);
    store_u16(to + BLOCK_TYPE, (uint16_t)header->type);
    id_to_bytes(header->cluster, to + BLOCK_CLUSTER);
    store_u64(to + BLOCK_SEGMENT, header->segment);
    store_u64(to + BLOCK_TERM, header->term);
    store_u64(to + BLOCK_INDEX, header->index);
    store_u64(to + BLOCK_PREVIOUS_HASH, header->previous_hash);
    store_u64(to + BLOCK_DURABLE_INDEX, header->durable_index);
    store_u64(to + BLOCK_FIRST_LSN, header->first_lsn);
    store_u64(to + BLOCK_WALL_MS, header->wall_ms);
    store_u32(to + BLOCK_RECORD_COUNT, header->record_count);
    store_u32(to + BLOCK_PAYLOAD_BYTES, header->payload_bytes);
    store_u64(to + BLOCK_PAYLOAD_HASH, header->payload_hash);
    if (header->engine_ms != 0) {
        store_bytes(to + BLOCK_ENGINE_MS, header->engine_ms, ENGINE_MS_BYTES);
        store_bytes(to + BLOCK_BOOT_MS, header->boot_ms, BOOT_BYTES);
        store_bytes(to + BLOCK_BOOT, header->boot, BOOT_BYTES);
    }
    store_u64(to + BLOCK_CHECKSUM, hash_bytes(to, BLOCK_CHECKSUM));
}

bool block_header_intact(const uint8_t *from)
{
    return memcmp(from + BLOCK_MAGIC, block_magic, 8) == 0 &&
           load_u64(from + BLOCK_CHECKSUM) == hash_bytes(from, BLOCK_CHECKSUM);
}

/* What a block of this type may carry; NULL when it fits. */
static const char *block_contents_fault(unsigned type, uint32_t record_count,
                                        uint32_t payload_bytes)
{
    switch (type) {
    case BLOCK_DATA:
        return record_count > 0 && payload_bytes >= 8u * (uint64_t)record_count
                   ? NULL
                   : "a data block without records";
    case BLOCK_NOOP:
    case BLOCK_EPOCH:
        return record_count == 0 && payload_bytes == 0 ? NULL
                                                       : "a block that should be empty is not";
    case BLOCK_DIGEST:
        return record_count == 0 && payload_bytes == 16 ? NULL : "a digest block of another size";
    default:
        return "a block of a type that this version does not know";
    }
}

/* NULL when the header is one of a known version; else what is wrong with it. */
static const char *block_header_fault(const uint8_t *from)
{
    if (memcmp(from + BLOCK_MAGIC, block_magic, 8) != 0) {
        return "no block header here";
    }
    if (!block_header_intact(from)) {
        return "the block header's checksum does not match";
    }
    if (!version_known(load_u32(from + BLOCK_VERSION))) {
        return "the block was written by another version of the format";
    }
    /* Without engine time there is nothing to go with it. */
    bool timed = load_bytes(from + BLOCK_ENGINE_MS, ENGINE_MS_BYTES) != 0;
    bool may_be_timed = load_u32(from + BLOCK_VERSION) >= WAL_FORMAT_TIMED;
    bool rest = load_bytes(from + BLOCK_BOOT_MS, BOOT_BYTES) != 0 ||
                load_bytes(from + BLOCK_BOOT, BOOT_BYTES) != 0;
    if (load_u16(from + BLOCK_RESERVED) != 0 || (timed && !may_be_timed) || (rest && !timed)) {
        return "reserved bytes of the block header are set";
    }
    uint32_t payload_bytes = load_u32(from + BLOCK_PAYLOAD_BYTES);
    if (payload_bytes > WAL_GROUP_BYTES_MAX || payload_bytes % 8 != 0) {
        return "the block's payload size is impossible";
    }
    return block_contents_fault(load_u16(from + BLOCK_TYPE), load_u32(from + BLOCK_RECORD_COUNT),
                                payload_bytes);
}

bool block_header_decode(struct block_header *header, const uint8_t *from, const char **reason)
{
    *reason = block_header_fault(from);
    if (*reason) {
        return false;
    }
    header->version = load_u32(from + BLOCK_VERSION);
    header->type = (enum block_type)load_u16(from + BLOCK_TYPE);
    header->cluster = id_from_bytes(from + BLOCK_CLUSTER);
    header->segment = load_u64(from + BLOCK_SEGMENT);
    header->term = load_u64(from + BLOCK_TERM);
    header->index = load_u64(from + BLOCK_INDEX);
    header->previous_hash = load_u64(from + BLOCK_PREVIOUS_HASH);
    header->durable_index = load_u64(from + BLOCK_DURABLE_INDEX);
    header->first_lsn = load_u64(from + BLOCK_FIRST_LSN);
    header->wall_ms = load_u64(from + BLOCK_WALL_MS);
    header->engine_ms = load_bytes(from + BLOCK_ENGINE_MS, ENGINE_MS_BYTES);
    header->boot_ms = load_bytes(from + BLOCK_BOOT_MS, BOOT_BYTES);
    header->boot = load_bytes(from + BLOCK_BOOT, BOOT_BYTES);
    header->record_count = load_u32(from + BLOCK_RECORD_COUNT);
    header->payload_bytes = load_u32(from + BLOCK_PAYLOAD_BYTES);
    header->payload_hash = load_u64(from + BLOCK_PAYLOAD_HASH);
    return true;
}

uint64_t block_chain(const uint8_t *encoded_header)
{
    return hash_bytes(encoded_header, BLOCK_HEADER_BYTES);
}
