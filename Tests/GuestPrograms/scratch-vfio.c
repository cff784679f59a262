// Drives the scratch device from user space of a guest, through VFIO and an IOMMU.
//
//   scratch-vfio 0000:00:03.0
//
// Prints a line for each thing that was seen to work, and ends with 1 at the first that does not.
// Sources/Devices/Scratch/ScratchDevice.swift has the table of registers.
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
  identity = 0x00, source = 0x10, destination = 0x18, count = 0x20, control = 0x28,
  doorbell = 0x2c, waiting = 0x30, error = 0x34, completed = 0x38, raise_vector = 0x40,
  interrupts = 0x44,
};
enum { vectors = 64, memory_size = 4 << 20, piece = 1 << 20 };
// Not where the memory is in the guest: the IOMMU has to do something.
static const uint64_t iova = 0x40000000;

static int container, device, config;
static off_t config_offset;
static volatile uint8_t *registers;
static uint8_t *memory;
static int events[vectors];

static void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  printf(" (%s)\n", strerror(errno));
  exit(1);
}

static void want(int holds, const char *what) {
  if (!holds) fail("not so: %s", what);
}

static uint32_t get(int offset) { return *(volatile uint32_t *)(registers + offset); }
static void set(int offset, uint32_t value) { *(volatile uint32_t *)(registers + offset) = value; }
static void set_long(int offset, uint64_t value) {
  *(volatile uint64_t *)(registers + offset) = value;
}

// Setting up

static void open_device(const char *address) {
  char path[128], link[256];
  snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", address);
  ssize_t length = readlink(path, link, sizeof link - 1);
  if (length < 0) fail("%s has no IOMMU group", address);
  link[length] = 0;
  snprintf(path, sizeof path, "/dev/vfio/%s", strrchr(link, '/') + 1);
  int group = open(path, O_RDWR);
  if (group < 0) fail("%s", path);
  container = open("/dev/vfio/vfio", O_RDWR);
  if (container < 0) fail("/dev/vfio/vfio");
  if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container)) fail("no container");
  if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)) fail("no IOMMU");
  device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
  if (device < 0) fail("no device %s", address);
  // The kernel's VFIO keeps the capability of MSI-X for itself; sysfs does not.
  snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/config", address);
  config = open(path, O_RDWR);
  if (config < 0) fail("%s", path);
}

static struct vfio_region_info region(uint32_t index) {
  struct vfio_region_info info = {.argsz = sizeof info, .index = index};
  if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info)) fail("no region %u", index);
  return info;
}

static uint8_t *map_region(uint32_t index) {
  struct vfio_region_info info = region(index);
  void *mapped =
    mmap(0, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
  if (mapped == MAP_FAILED) fail("region %u of %llu bytes", index, info.size);
  return mapped;
}

static void become_bus_master(void) {
  config_offset = (off_t)region(VFIO_PCI_CONFIG_REGION_INDEX).offset;
  uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  if (pwrite(device, &command, 2, config_offset + PCI_COMMAND) != 2) fail("command register");
}

static void map_memory(void) {
  memory = mmap(0, memory_size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) fail("no memory");
  struct vfio_iommu_type1_dma_map map = {
    .argsz = sizeof map,
    .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
    .vaddr = (uintptr_t)memory,
    .iova = iova,
    .size = memory_size,
  };
  if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map)) fail("memory is not mapped");
}

static void use_messages(void) {
  size_t size = sizeof(struct vfio_irq_set) + sizeof events;
  struct vfio_irq_set *set = calloc(1, size);
  set->argsz = (uint32_t)size;
  set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  set->index = VFIO_PCI_MSIX_IRQ_INDEX;
  set->count = vectors;
  for (int vector = 0; vector < vectors; vector++) {
    events[vector] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (events[vector] < 0) fail("no eventfd");
  }
  memcpy(set->data, events, sizeof events);
  if (ioctl(device, VFIO_DEVICE_SET_IRQS, set)) fail("no MSI-X");
  free(set);
}

// Interrupts

// How often a vector was delivered, after waiting for the first time.
static uint64_t deliveries(int vector, int milliseconds) {
  struct pollfd polled = {.fd = events[vector], .events = POLLIN};
  uint64_t value = 0;
  if (poll(&polled, 1, milliseconds) == 1 && read(events[vector], &value, 8) != 8) value = 0;
  return value;
}

static void want_silence(const char *what) {
  for (int vector = 0; vector < vectors; vector++) want(deliveries(vector, 0) == 0, what);
}

static void check_delivery(void) {
  for (int vector = 0; vector < vectors; vector++) {
    set(raise_vector, (uint32_t)vector);
    if (deliveries(vector, 5000) != 1) fail("vector %d is not delivered once", vector);
  }
  want_silence("each vector is delivered once");
  want(get(interrupts) == 2, "the register of interrupts says why");
  set(interrupts, 2);
  want(get(interrupts) == 0, "the register of interrupts is cleared by ones");
  set(raise_vector, vectors);
  want_silence("there is no vector 64");
  printf("ok: %d vectors, one after the other\n", vectors);
}

static int message_control(void) {
  uint8_t at = 0, id = 0;
  if (pread(config, &at, 1, PCI_CAPABILITY_LIST) != 1) fail("configuration space");
  while (at) {
    if (pread(config, &id, 1, at) != 1) fail("configuration space");
    if (id == PCI_CAP_ID_MSIX) return at + PCI_MSIX_FLAGS;
    if (pread(config, &at, 1, at + PCI_CAP_LIST_NEXT) != 1) fail("configuration space");
  }
  fail("no capability of MSI-X");
  return 0;
}

static void mask_function(int masked) {
  int at = message_control();
  uint16_t flags = 0;
  if (pread(config, &flags, 2, at) != 2) fail("message control");
  want(flags & PCI_MSIX_FLAGS_ENABLE, "MSI-X is on");
  flags = (uint16_t)(masked ? flags | PCI_MSIX_FLAGS_MASKALL : flags & ~PCI_MSIX_FLAGS_MASKALL);
  if (pwrite(config, &flags, 2, at) != 2) fail("message control");
}

static void check_function_mask(void) {
  mask_function(1);
  for (int vector = 3; vector < vectors; vector += 20) set(raise_vector, (uint32_t)vector);
  // A read comes back after the writes before it; what was delivered wrongly is on its way then.
  want(get(interrupts) == 2, "vectors were raised");
  usleep(200000);
  want_silence("nothing is delivered while the function is masked");
  mask_function(0);
  for (int vector = 3; vector < vectors; vector += 20) {
    if (deliveries(vector, 5000) != 1) fail("vector %d is not delivered at the unmask", vector);
  }
  want_silence("only what was pending is delivered at the unmask");
  set(raise_vector, 4);
  want(deliveries(4, 5000) == 1, "vectors are delivered after the unmask");
  set(interrupts, 3);
  printf("ok: what was raised under the function mask comes at the unmask\n");
}

// Copies

static uint32_t copy(uint64_t from, uint64_t to, uint64_t size, int vector) {
  uint32_t before = get(completed);
  set_long(source, from);
  set_long(destination, to);
  set_long(count, size);
  set(control, 0x10000u | (uint32_t)vector);
  set(doorbell, 1);
  if (deliveries(vector, 10000) != 1) fail("a copy of %llu bytes does not end", size);
  want(get(completed) == before + 1 && get(waiting) == 0, "one copy has ended");
  want(get(interrupts) & 1, "the register of interrupts says that a copy has ended");
  set(interrupts, 1);
  return get(error);
}

static void check_copies(void) {
  for (int at = 0; at < memory_size; at++) memory[at] = (uint8_t)(at * 31 + (at >> 10));
  static const int sizes[] = {1, 7, 4096, 65539, piece};
  for (unsigned turn = 0; turn < sizeof sizes / sizeof *sizes; turn++) {
    int size = sizes[turn], from = 12345, to = 2 * piece + 4099;
    memset(memory + 2 * piece, 0xee, 2 * piece);
    uint32_t result = copy(iova + from, iova + to, size, 5 + (int)turn);
    if (result) fail("a copy of %d bytes: error %u", size, result);
    want(!memcmp(memory + from, memory + to, (size_t)size), "the copy is the original");
    want(memory[to - 1] == 0xee && memory[to + size] == 0xee, "nothing beside it is written");
  }
  printf("ok: copies of 1 byte to 1 MiB between addresses of the IOMMU, each with its vector\n");
  want(copy(iova + memory_size, iova, 4096, 9) == EFAULT, "unmapped memory is not read");
  memset(memory, 0x11, 8192);
  want(copy(iova + memory_size - 4096, iova, 8192, 9) == EFAULT, "nor its edge");
  want(copy(iova, iova + memory_size, 4096, 9) == EFAULT, "unmapped memory is not written");
  want(copy(iova, iova + 8192, piece + 1, 9) == E2BIG, "a copy has 1 MiB");
  struct vfio_iommu_type1_dma_unmap unmap = {
    .argsz = sizeof unmap, .iova = iova, .size = memory_size};
  if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap)) fail("memory is not unmapped");
  want(copy(iova, iova + 8192, 4096, 9) == EFAULT, "memory that was unmapped is not reached");
  printf("ok: what the IOMMU does not map is not reached\n");
}

// Memory of the device

static void check_memory(uint32_t index, uint64_t size, const char *what) {
  want(region(index).size == size, "the region has its size");
  volatile uint32_t *words = (volatile uint32_t *)map_region(index);
  uint64_t last = size / 4, step = size / 4 / 61;
  for (uint64_t at = 0; at < last; at += step) words[at] = (uint32_t)(at * 2654435761u);
  words[last - 1] = 0xfeedface;
  for (uint64_t at = 0; at < last - 1; at += step) {
    if (words[at] != (uint32_t)(at * 2654435761u)) fail("%s: word %llu is %x", what, at, words[at]);
  }
  want(words[last - 1] == 0xfeedface, "the last word is kept");
  printf("ok: %s\n", what);
}

// The areas that QEMU has mapped, and their neighbours, which it reaches by messages.
static void check_edges(void) {
  volatile uint32_t *words = (volatile uint32_t *)map_region(2);
  static const uint32_t edges[] = {0x10000, 0x30000, 0x80000, 0xc0000};
  for (uint32_t turn = 0; turn < 4; turn++) {
    words[edges[turn] / 4 - 1] = 0xa0 + turn;
    words[edges[turn] / 4] = 0xb0 + turn;
  }
  for (uint32_t turn = 0; turn < 4; turn++) {
    want(words[edges[turn] / 4 - 1] == 0xa0 + turn && words[edges[turn] / 4] == 0xb0 + turn,
         "memory is itself on both sides of an edge");
  }
  printf("ok: the edges of the areas that can be mapped\n");
}

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IOLBF, 0);
  if (argc != 2) fail("usage: scratch-vfio ADDRESS");
  open_device(argv[1]);
  become_bus_master();
  registers = map_region(0);
  want(get(identity) == 0x41524353, "this is the scratch device");
  map_memory();
  use_messages();
  check_delivery();
  check_function_mask();
  check_copies();
  check_memory(1, 2 << 20, "memory by messages");
  check_memory(2, 1 << 20, "memory that is mapped in two areas");
  check_edges();
  printf("done\n");
  return 0;
}
