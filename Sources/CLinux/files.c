#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004U
#endif

int clinux_file_permissions(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  if (flags & O_PATH) return -EBADF;
  const int mode = flags & O_ACCMODE;
  int permissions = 0;
  if (mode != O_WRONLY) permissions |= CLINUX_FILE_READABLE;
  if (mode != O_RDONLY) permissions |= CLINUX_FILE_WRITABLE;
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return permissions;
  if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) permissions |= CLINUX_FILE_WRITE_SEALED;
  if (seals & F_SEAL_SHRINK) permissions |= CLINUX_FILE_SHRINK_SEALED;
  return permissions;
}

int clinux_seal(int descriptor, int write) {
  const int seals = F_SEAL_SHRINK | (write ? F_SEAL_WRITE : 0);
  return fcntl(descriptor, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int clinux_sealable_memory_file(const char *name, uint64_t size, int huge) {
  const int number = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));
  if (number < 0) return -errno;
  if (ftruncate(number, (off_t)size) == 0) return number;
  const int error = errno;
  close(number);
  return -error;
}

int clinux_reopen(int descriptor, int writable) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  const int number = open(path, (writable ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
  return number < 0 ? -errno : number;
}

int64_t clinux_read_at(int descriptor, void *bytes, size_t count, uint64_t offset) {
  ssize_t result;
  do {
    result = pread(descriptor, bytes, count, (off_t)offset);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

int64_t clinux_write_at(int descriptor, const void *bytes, size_t count, uint64_t offset) {
  ssize_t result;
  do {
    result = pwrite(descriptor, bytes, count, (off_t)offset);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}
