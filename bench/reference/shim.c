/* One function around the reference: which of its builds fills the memory, and memory that is kept from hash to hash. */

#include <stdlib.h>

#include "argon2.h"
#include "core.h"

void fill_segment_plain(const argon2_instance_t *instance, argon2_position_t position);
void fill_segment_avx2(const argon2_instance_t *instance, argon2_position_t position);

static _Thread_local int with_avx2;
static _Thread_local uint8_t *kept;
static _Thread_local size_t kept_bytes;

void fill_segment(const argon2_instance_t *instance, argon2_position_t position) {
#ifdef __x86_64__
    if (with_avx2) {
        fill_segment_avx2(instance, position);
        return;
    }
#endif
    fill_segment_plain(instance, position);
}

static int lend(uint8_t **memory, size_t bytes) {
    if (bytes > kept_bytes) {
        free(kept);
        kept = malloc(bytes);
        kept_bytes = kept ? bytes : 0;
    }
    *memory = kept;
    return kept ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

/* The reference has wiped it. */
static void take_back(uint8_t *memory, size_t bytes) {
    (void)memory;
    (void)bytes;
}

int reference_argon2id(int avx2, uint32_t kib, uint32_t passes, const uint8_t *password, uint32_t password_length,
                       const uint8_t *salt, uint32_t salt_length, uint8_t *digest, uint32_t digest_length) {
    argon2_context context = {
        .out = digest, .outlen = digest_length,
        .pwd = (uint8_t *)password, .pwdlen = password_length,
        .salt = (uint8_t *)salt, .saltlen = salt_length,
        .t_cost = passes, .m_cost = kib, .lanes = 1, .threads = 1,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = lend, .free_cbk = take_back,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    with_avx2 = avx2;
    return argon2_ctx(&context, Argon2_id);
}
