// Files whose memory is lent to a device: what may be done with them, and bytes by descriptor.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What a descriptor and the seals of its file permit.
#define CLINUX_FILE_READABLE 1
#define CLINUX_FILE_WRITABLE 2
/// F_SEAL_WRITE or F_SEAL_FUTURE_WRITE: nobody may map it for writing any more.
#define CLINUX_FILE_WRITE_SEALED 4
/// F_SEAL_SHRINK: nobody can truncate it.
#define CLINUX_FILE_SHRINK_SEALED 8

/// The CLINUX_FILE_ bits of a descriptor (F_GETFL, F_GET_SEALS), or -errno; -EBADF for O_PATH, by which a
/// file can neither be read nor mapped. A file that takes no seals has none.
int clinux_file_permissions(int descriptor);
/// Seals a file with F_SEAL_SHRINK, and with F_SEAL_WRITE if `write` is not 0.
int clinux_seal(int descriptor, int write);
/// A memory file that takes seals and has none yet; with `huge` not 0, of 2 MiB pages.
int clinux_sealable_memory_file(const char *name, uint64_t size, int huge);
/// A second open file for the same memory file, read-only or write-only.
int clinux_reopen(int descriptor, int writable);
/// pread, repeated while a signal interrupts it: the count, which may be short, or -errno.
int64_t clinux_read_at(int descriptor, void *bytes, size_t count, uint64_t offset);
/// pwrite; as above.
int64_t clinux_write_at(int descriptor, const void *bytes, size_t count, uint64_t offset);

#ifdef __cplusplus
}
#endif
#endif
