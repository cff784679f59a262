extension Dissector {
  /// The fields, which filters in Wireshark name.
  static let fields = #"""
    -- Dissector for vfio-user: recordings of `vfio-user trace --write FILE.pcapng`, LINKTYPE_USER0.
    -- Install it with `vfio-user trace --install-dissector`.
    -- Specification: docs/interop/vfio-user.rst of QEMU.

    local vfio_user = Proto("vfio_user", "vfio-user")

    local command_names = {
      [1] = "VERSION", [2] = "DMA_MAP", [3] = "DMA_UNMAP", [4] = "DEVICE_GET_INFO",
      [5] = "DEVICE_GET_REGION_INFO", [6] = "DEVICE_GET_REGION_IO_FDS", [7] = "DEVICE_GET_IRQ_INFO",
      [8] = "DEVICE_SET_IRQS", [9] = "REGION_READ", [10] = "REGION_WRITE", [11] = "DMA_READ",
      [12] = "DMA_WRITE", [13] = "DEVICE_RESET", [14] = "DIRTY_PAGES", [15] = "REGION_WRITE_MULTI",
      [16] = "DEVICE_FEATURE", [17] = "MIG_DATA_READ", [18] = "MIG_DATA_WRITE",
    }
    local region_names = {
      [0] = "bar0", [1] = "bar1", [2] = "bar2", [3] = "bar3", [4] = "bar4", [5] = "bar5",
      [6] = "rom", [7] = "config", [8] = "vga",
    }
    local irq_names = { [0] = "INTx", [1] = "MSI", [2] = "MSI-X", [3] = "ERR", [4] = "REQ" }
    local feature_names = {
      [1] = "MIGRATION", [2] = "MIG_DEVICE_STATE", [6] = "DMA_LOGGING_START",
      [7] = "DMA_LOGGING_STOP", [8] = "DMA_LOGGING_REPORT",
    }
    local state_names = {
      [0] = "ERROR", [1] = "STOP", [2] = "RUNNING", [3] = "STOP_COPY", [4] = "RESUMING",
      [5] = "RUNNING_P2P", [6] = "PRE_COPY", [7] = "PRE_COPY_P2P",
    }
    local errno_names = {
      [1] = "EPERM", [2] = "ENOENT", [5] = "EIO", [6] = "ENXIO", [7] = "E2BIG", [9] = "EBADF",
      [11] = "EAGAIN", [12] = "ENOMEM", [13] = "EACCES", [14] = "EFAULT", [16] = "EBUSY",
      [17] = "EEXIST", [19] = "ENODEV", [22] = "EINVAL", [24] = "EMFILE", [25] = "ENOTTY",
      [28] = "ENOSPC", [32] = "EPIPE", [34] = "ERANGE", [38] = "ENOSYS", [71] = "EPROTO",
      [75] = "EOVERFLOW", [93] = "EPROTONOSUPPORT", [95] = "EOPNOTSUPP", [104] = "ECONNRESET",
      [110] = "ETIMEDOUT", [125] = "ECANCELED",
    }
    local capability_names = { [1] = "sparse mmap", [2] = "type", [3] = "MSI-X mappable" }
    local io_names = { [0] = "ioeventfd", [1] = "ioregionfd", [2] = "ioeventfd with shadow" }

    local f = {}
    local function number(name, bits, title, base_, names, mask)
      local make = bits == 64 and ProtoField.uint64 or bits == 32 and ProtoField.uint32
        or ProtoField.uint16
      f[name] = make("vfio_user." .. name, title, base_ or base.DEC, names, mask)
    end
    local function flag(name, bits, title, mask)
      f[name] = ProtoField.bool("vfio_user." .. name, title, bits, nil, mask)
    end

    number("id", 16, "Message ID")
    number("command", 16, "Command", base.DEC, command_names)
    number("size", 32, "Message size")
    number("flags", 32, "Flags", base.HEX)
    number("type", 32, "Type", base.DEC, { [0] = "command", [1] = "reply" }, 0xF)
    flag("no_reply", 32, "No reply", 0x10)
    flag("failed", 32, "Error", 0x20)
    number("errno", 32, "Error number", base.DEC, errno_names)
    f.request_in = ProtoField.framenum("vfio_user.request_in", "Reply to", base.NONE, frametype.REQUEST)
    f.reply_in = ProtoField.framenum("vfio_user.reply_in", "Reply in", base.NONE, frametype.RESPONSE)
    f.time = ProtoField.relative_time("vfio_user.time", "Time since the command")

    number("version_major", 16, "Major version")
    number("version_minor", 16, "Minor version")
    f.version_data = ProtoField.string("vfio_user.version_data", "Version data")
    number("argsz", 32, "Size of the payload (argsz)")
    number("offset", 64, "Offset", base.HEX)
    number("address", 64, "Address", base.HEX)
    number("length", 64, "Size", base.HEX)
    number("count", 32, "Count")
    number("count64", 64, "Count")
    number("page_size", 64, "Page size")
    f.data = ProtoField.bytes("vfio_user.data", "Data")
    number("dma_flags", 32, "Flags", base.HEX)
    flag("dma_readable", 32, "Readable", 1)
    flag("dma_writable", 32, "Writable", 2)
    flag("dma_mmap", 32, "May be mapped", 4)
    flag("dma_file_io", 32, "May be read and written as a file", 8)
    number("unmap_flags", 32, "Flags", base.HEX)
    flag("unmap_bitmap", 32, "Get dirty bitmap", 1)
    flag("unmap_all", 32, "All", 2)
    number("device_flags", 32, "Flags", base.HEX)
    flag("device_reset", 32, "Can be reset", 1)
    flag("device_pci", 32, "PCI", 2)
    number("num_regions", 32, "Regions")
    number("num_irqs", 32, "Interrupt types")
    number("region", 32, "Region", base.DEC, region_names)
    number("region_flags", 32, "Flags", base.HEX)
    flag("region_read", 32, "Readable", 1)
    flag("region_write", 32, "Writable", 2)
    flag("region_mmap", 32, "May be mapped", 4)
    flag("region_caps", 32, "Capabilities", 8)
    number("cap_offset", 32, "First capability", base.HEX)
    number("capability", 16, "Capability", base.DEC, capability_names)
    number("capability_version", 16, "Version")
    number("capability_next", 32, "Next", base.HEX)
    number("areas", 32, "Areas")
    number("region_type", 32, "Region type", base.HEX)
    number("region_subtype", 32, "Region subtype", base.HEX)
    number("fd_index", 32, "Index of the descriptor")
    number("io_type", 32, "Type", base.DEC, io_names)
    number("io_flags", 32, "Flags", base.HEX)
    number("io_value", 64, "Value", base.HEX)
    number("irq", 32, "Interrupt type", base.DEC, irq_names)
    number("irq_flags", 32, "Flags", base.HEX)
    flag("irq_eventfd", 32, "Signals eventfds", 1)
    flag("irq_maskable", 32, "Maskable", 2)
    flag("irq_automasked", 32, "Masked when it triggers", 4)
    flag("irq_noresize", 32, "Set up as a whole", 8)
    number("set_flags", 32, "Flags", base.HEX)
    number("set_data", 32, "Data", base.DEC, { [1] = "none", [2] = "bool", [4] = "eventfd" }, 0x7)
    number("set_action", 32, "Action", base.DEC, { [1] = "mask", [2] = "unmask", [4] = "trigger" }, 0x38)
    number("start", 32, "First interrupt")
    number("feature_flags", 32, "Flags", base.HEX)
    number("feature", 32, "Feature", base.DEC, feature_names, 0xFFFF)
    flag("feature_get", 32, "Get", 0x10000)
    flag("feature_set", 32, "Set", 0x20000)
    flag("feature_probe", 32, "Probe", 0x40000)
    number("migration", 64, "Migration", base.HEX)
    number("device_state", 32, "State", base.DEC, state_names)
    number("data_fd", 32, "data_fd", base.HEX)
    number("ranges", 32, "Ranges")
    number("reserved", 32, "Reserved", base.HEX)
    number("data_size", 32, "Size of the data")
    number("bitmap_size", 64, "Size of the bitmap")
    f.bitmap = ProtoField.bytes("vfio_user.bitmap", "Bitmap")
    f.rest = ProtoField.bytes("vfio_user.rest", "Bytes that do not belong here")
    vfio_user.fields = f

    local e = {
      malformed = ProtoExpert.new(
        "vfio_user.malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
      violation = ProtoExpert.new(
        "vfio_user.violation", "Not as the specification says", expert.group.PROTOCOL,
        expert.severity.WARN),
      failed = ProtoExpert.new(
        "vfio_user.failure", "The command has failed", expert.group.RESPONSE_CODE,
        expert.severity.NOTE),
    }
    vfio_user.experts = e

    """#
}
