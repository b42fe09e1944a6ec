/* digest.h - the payload of a DIGEST block, and the check that is made of it.
 *
 * The engine adds up the digests of all changes of its state, and writes the sum into the log now
 * and then. Whoever rebuilds the state from the log must arrive at the same sum: recovery, the
 * checkpointer and the tools compare it here.
 *
 * Threads: any; pure functions. */
#ifndef WAL_DIGEST_H
#define WAL_DIGEST_H

#include <stdint.h>

#include "wal/reader.h"

#define DIGEST_PAYLOAD_BYTES 16u /* u64 LSN, u64 digest */

/* Writes DIGEST_PAYLOAD_BYTES. lsn: where the payload begins; digest: of the state at that LSN. */
void digest_encode(uint64_t lsn, uint64_t digest, uint8_t *to);

/* Reads the digest of a DIGEST block. NULL; else, as a static text, what is wrong with the block.
 */
const char *digest_decode(const struct wal_block *block, uint64_t *digest);

/* NULL when the digest that was rebuilt is the one that was written; else a static text. */
const char *digest_fault(uint64_t rebuilt, uint64_t written);

#endif
