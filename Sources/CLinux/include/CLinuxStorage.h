// Files and block devices behind a disk. Every function returns a result >= 0, or -errno.
#ifndef CLINUX_STORAGE_H
#define CLINUX_STORAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLINUX_OPEN_WRITABLE 1
#define CLINUX_OPEN_DIRECT 2
/// Makes a file that is not there yet; -EEXIST when it is.
#define CLINUX_OPEN_NEW 4

/// Opens a file for a disk, close-on-exec; CLINUX_OPEN_* say how. A block device that is written to is held
/// exclusively. -EOPNOTSUPP for what is neither a file nor a block device.
int clinux_storage_open(const char *path, int how);

struct clinux_storage_info {
  uint64_t size;
  /// Bytes that take room on the host.
  uint64_t allocated;
  /// What sizes and addresses of direct I/O are multiples of.
  uint32_t direct_alignment;
  /// 0 something else, 1 a regular file, 2 a block device.
  int kind;
  /// 1 when it is a file in memory (tmpfs), which knows no RWF_NOWAIT and waits for no disk.
  int in_memory;
  /// 1 when it is a block device that takes no writes, however it was opened.
  int is_read_only;
  /// The file system's number, or the block device's.
  uint64_t device;
  uint64_t inode;
  /// When the file was made, where the file system knows that.
  int is_birth_known;
  int64_t birth_seconds;
  uint32_t birth_nanoseconds;
};
int clinux_storage_inspect(int descriptor, struct clinux_storage_info *info);

/// Locks the file against other openers, whatever their process (an open file description lock);
/// `exclusive` for those who write. -EAGAIN when somebody else holds it.
int clinux_storage_lock(int descriptor, int exclusive);

/// preadv2 of `count` slices laid out like struct iovec; `nowait` answers -EAGAIN where it would wait
/// for the disk.
int64_t clinux_storage_read(int descriptor, const void *slices, int count, uint64_t offset,
                            int nowait);
/// pwritev2; `durable` returns when the data is on the disk, with fdatasync where pwritev2 cannot do that; `nowait`
/// answers -EAGAIN where it would wait, -EOPNOTSUPP where that cannot be asked for.
int64_t clinux_storage_write(int descriptor, const void *slices, int count, uint64_t offset,
                             int durable, int nowait);
/// fdatasync. The system tells of data that was lost once per open file: who asks again hears that all is well.
int clinux_storage_sync(int descriptor);
/// fsync of a folder: what was made, renamed or removed in it stays so.
int clinux_sync_folder(const char *path);
/// Renames a file to a name that is free (-EEXIST when it is not), or swaps two.
int clinux_place(const char *from, const char *to, int swap);
/// Renames a file, in place of whatever has the name.
int clinux_replace(const char *from, const char *to);
/// The parts of a device's number.
uint32_t clinux_major(uint64_t device);
uint32_t clinux_minor(uint64_t device);

/// Gives blocks back to the host; they read as zeros.
int clinux_storage_punch(int descriptor, uint64_t offset, uint64_t size);
/// Makes blocks zeros and keeps the room for them.
int clinux_storage_zero(int descriptor, uint64_t offset, uint64_t size);
int clinux_storage_resize(int descriptor, uint64_t size);

/// Memory whose address is a multiple of `alignment`; NULL when there is none. free() gives it back.
void *clinux_aligned_memory(size_t alignment, size_t size);
void clinux_free(void *memory);

/// Blocks SIGHUP in the calling thread and those it starts.
void clinux_block_hangup(void);
/// Waits for SIGHUP; 0 when it came.
int clinux_wait_for_hangup(void);

#ifdef __cplusplus
}
#endif
#endif
