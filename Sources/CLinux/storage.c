#define _GNU_SOURCE
#include "CLinuxStorage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RETRY(result, call)                                                                        \
  do {                                                                                             \
    (result) = (call);                                                                             \
  } while ((result) == -1 && errno == EINTR)

int clinux_storage_open(const char *path, int how) {
  // Opening a FIFO may block, and opening a terminal or a device node may have side effects.
  struct stat status;
  if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    return -EOPNOTSUPP;
  int flags = O_CLOEXEC | O_NOCTTY | ((how & CLINUX_OPEN_WRITABLE) ? O_RDWR : O_RDONLY);
  if (how & CLINUX_OPEN_DIRECT) flags |= O_DIRECT;
  if (how & CLINUX_OPEN_NEW) flags |= O_CREAT | O_EXCL;
  // Without O_CREAT, O_EXCL only affects block devices: -EBUSY if one is mounted or claimed, via
  // any node.
  else if (how & CLINUX_OPEN_WRITABLE) flags |= O_EXCL;
  int result;
  RETRY(result, open(path, flags, 0644));
  return result == -1 ? -errno : result;
}

int clinux_storage_is_direct(int descriptor) {
  return (fcntl(descriptor, F_GETFL) & O_DIRECT) != 0;
}

int clinux_storage_inspect(int descriptor, struct clinux_storage_info *info) {
  struct stat status;
  if (fstat(descriptor, &status) == -1) return -errno;
  memset(info, 0, sizeof *info);
  info->direct_alignment = 512;
  info->device = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
  info->inode = status.st_ino;
  if (S_ISREG(status.st_mode)) {
    info->kind = 1;
    info->size = (uint64_t)status.st_size;
    info->allocated = (uint64_t)status.st_blocks * 512;
    struct statfs system;
    info->in_memory = fstatfs(descriptor, &system) == 0 && system.f_type == TMPFS_MAGIC;
    struct statx more;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME, &more) == 0 && (more.stx_mask & STATX_BTIME)) {
      info->is_birth_known = 1;
      info->birth_seconds = more.stx_btime.tv_sec;
      info->birth_nanoseconds = more.stx_btime.tv_nsec;
    }
#ifdef STATX_DIOALIGN
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &more) == 0 &&
        (more.stx_mask & STATX_DIOALIGN) && more.stx_dio_offset_align > 0)
      info->direct_alignment = more.stx_dio_offset_align > more.stx_dio_mem_align
                                   ? more.stx_dio_offset_align
                                   : more.stx_dio_mem_align;
#endif
  } else if (S_ISBLK(status.st_mode)) {
    uint64_t size = 0;
    int sector = 512;
    if (ioctl(descriptor, BLKGETSIZE64, &size) == -1) return -errno;
    if (ioctl(descriptor, BLKSSZGET, &sector) == 0 && sector > 0)
      info->direct_alignment = (uint32_t)sector;
    int read_only = 0;
    info->is_read_only = ioctl(descriptor, BLKROGET, &read_only) == 0 && read_only != 0;
    info->kind = 2;
    info->size = size;
    info->allocated = size;
  }
  return 0;
}

int clinux_storage_lock(int descriptor, int exclusive) {
  struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
  int result;
  RETRY(result, fcntl(descriptor, F_OFD_SETLK, &lock));
  if (result == -1) return errno == EACCES ? -EAGAIN : -errno;
  return 0;
}

int clinux_storage_unlock(int descriptor) {
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  int result;
  RETRY(result, fcntl(descriptor, F_OFD_SETLK, &lock));
  return result == -1 ? -errno : 0;
}

int clinux_storage_is_writable(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  return flags == -1 ? -errno : (flags & O_ACCMODE) != O_RDONLY;
}

int clinux_storage_replace(int descriptor, int source) {
  int result;
  RETRY(result, dup3(source, descriptor, O_CLOEXEC));
  return result == -1 ? -errno : 0;
}

int64_t clinux_storage_find_data(int descriptor, uint64_t offset, uint64_t *end) {
  const off_t start = lseek(descriptor, (off_t)offset, SEEK_DATA);
  if (start == -1) return -errno;
  const off_t hole = lseek(descriptor, start, SEEK_HOLE);
  if (hole == -1) return -errno;
  *end = (uint64_t)hole;
  return hole > start ? start : -ENXIO;
}

int64_t clinux_storage_read(int descriptor, const void *slices, int count, uint64_t offset,
                            int nowait) {
  ssize_t result;
  RETRY(result, preadv2(descriptor, slices, count, (off_t)offset, nowait ? RWF_NOWAIT : 0));
  return result == -1 ? -errno : result;
}

int64_t clinux_storage_write(int descriptor, const void *slices, int count, uint64_t offset,
                             int durable, int nowait) {
  const int flags = (durable ? RWF_DSYNC : 0) | (nowait ? RWF_NOWAIT : 0);
  ssize_t result;
  RETRY(result, pwritev2(descriptor, slices, count, (off_t)offset, flags));
  // Old kernels and other systems do not support the flag: then two calls are needed.
  if (result == -1 && durable && !nowait && (errno == EOPNOTSUPP || errno == ENOSYS)) {
    RETRY(result, pwritev(descriptor, slices, count, (off_t)offset));
    if (result != -1) {
      const int synced = clinux_storage_sync(descriptor);
      if (synced != 0) return synced;
    }
  }
  return result == -1 ? -errno : result;
}

int clinux_storage_sync(int descriptor) {
  int result;
  RETRY(result, fdatasync(descriptor));
  return result == -1 ? -errno : 0;
}

int clinux_sync_folder(const char *path) {
  int folder;
  RETRY(folder, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder == -1) return -errno;
  int result;
  RETRY(result, fsync(folder));
  int code = result == -1 ? errno : 0;
  close(folder);
  // Some file systems do not support it.
  return code == EINVAL ? 0 : -code;
}

int clinux_place(const char *from, const char *to, int swap) {
  int result;
  RETRY(result, renameat2(AT_FDCWD, from, AT_FDCWD, to, swap ? RENAME_EXCHANGE : RENAME_NOREPLACE));
  if (result == 0) return 0;
  if (errno != EINVAL || swap) return -errno;
  // Not every file system supports the flag; link does not replace an existing file either.
  RETRY(result, link(from, to));
  if (result == -1) return -errno;
  unlink(from);
  return 0;
}

int clinux_replace(const char *from, const char *to) {
  int result;
  RETRY(result, rename(from, to));
  return result == -1 ? -errno : 0;
}

int clinux_storage_punch(int descriptor, uint64_t offset, uint64_t size) {
  int result;
  RETRY(result, fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                          (off_t)size));
  return result == -1 ? -errno : 0;
}

int clinux_storage_zero(int descriptor, uint64_t offset, uint64_t size) {
  int result;
  RETRY(result, fallocate(descriptor, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                          (off_t)size));
  return result == -1 ? -errno : 0;
}

int clinux_storage_resize(int descriptor, uint64_t size) {
  int result;
  RETRY(result, ftruncate(descriptor, (off_t)size));
  return result == -1 ? -errno : 0;
}

uint32_t clinux_major(uint64_t device) { return major(device); }
uint32_t clinux_minor(uint64_t device) { return minor(device); }

void *clinux_aligned_memory(size_t alignment, size_t size) {
  void *memory = NULL;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}

void clinux_free(void *memory) { free(memory); }

static void hangup_only(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGHUP);
}

void clinux_block_hangup(void) {
  sigset_t set;
  hangup_only(&set);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int clinux_wait_for_hangup(void) {
  sigset_t set;
  int number = 0;
  hangup_only(&set);
  return -sigwait(&set, &number);
}
