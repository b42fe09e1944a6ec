/* digest.c - see digest.h. */
#include "wal/digest.h"

#include <stddef.h>

#include "base/bytes.h"
#include "base/check.h"

void digest_encode(uint64_t lsn, uint64_t digest, uint8_t *to)
{
    store_u64(to, lsn);
    store_u64(to + 8, digest);
}

const char *digest_decode(const struct wal_block *block, uint64_t *digest)
{
    CHECK(block->header.type == BLOCK_DIGEST);
    struct cursor cursor = cursor_over(block->payload, block->header.payload_bytes);
    uint64_t lsn = cursor_u64(&cursor);
    *digest = cursor_u64(&cursor);
    return cursor.overrun || lsn != block->header.first_lsn
               ? "a DIGEST block of another size, or with the LSN of another place"
               : NULL;
}

const char *digest_fault(uint64_t rebuilt, uint64_t written)
{
    return rebuilt == written
               ? NULL
               : "the rebuilt state differs from the digest that the engine wrote into the log";
}
