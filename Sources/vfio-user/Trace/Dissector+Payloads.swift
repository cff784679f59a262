extension Dissector {
  /// A place in a message, from which fields are taken one after the other.
  static let tables = #"""
    -- Raised when a message ends before a field.
    local SHORT = "vfio-user message ends early"

    local function range(c, size)
      if c.pos + size > c.stop then error(SHORT, 0) end
      local r = c.tvb(c.pos, size)
      c.pos = c.pos + size
      return r
    end

    -- Takes a little-endian number into the tree; returns it.
    local function take(c, field, size, tree)
      local place = tree or c.tree
      local r = range(c, size)
      place:add_le(field, r)
      if size == 8 then return r:le_uint64() end
      return r:le_uint()
    end

    -- Takes flags; the fields of the bits are below.
    local function take_flags(c, field, bits)
      local r = range(c, 4)
      local tree = c.tree:add_le(field, r)
      for _, bit in ipairs(bits) do tree:add_le(bit, r) end
      return r:le_uint()
    end

    local function take_bytes(c, field, size)
      if size > 0 then c.tree:add(field, range(c, size)) end
    end

    local function left(c) return c.stop - c.pos end

    local function hex64(value)
      return "0x" .. value:tohex():gsub("^0+(%x)", "%1")
    end

    local function small(value) return value < UInt64(0x7FFFFFFF) and value:tonumber() or 0x7FFFFFFF end

    local function say(c, text) c.info = c.info .. text end

    local function region_name(number) return region_names[number] or ("region" .. number) end

    -- The start of the data as a number, for the line of the packet.
    local function value_text(c, size)
      if size > left(c) or not (size == 1 or size == 2 or size == 4 or size == 8) then return "" end
      return " = " .. hex64(c.tvb(c.pos, size):le_uint64())
    end

    """#

  /// The payload of each command.
  static let payloads = #"""
    local command = {}

    local function nothing(c) end

    local function version(c)
      local major = take(c, f.version_major, 2)
      local minor = take(c, f.version_minor, 2)
      say(c, string.format(" %d.%d", major, minor))
      if left(c) == 0 then return end
      local r = range(c, left(c))
      if r:len() > 1 then
        -- It ends with a NUL.
        local text = r(0, r:len() - 1)
        c.tree:add(f.version_data, text)
        pcall(function() Dissector.get("json"):call(text:tvb(), c.pinfo, c.tree) end)
      end
    end
    command[1] = { version, version }

    local function dma_map(c)
      take(c, f.argsz, 4)
      take_flags(c, f.dma_flags, { f.dma_readable, f.dma_writable, f.dma_mmap, f.dma_file_io })
      take(c, f.offset, 8)
      local address = take(c, f.address, 8)
      say(c, string.format(" %s size %s", hex64(address), hex64(take(c, f.length, 8))))
    end
    command[2] = { dma_map, nothing }

    local function dma_unmap(c)
      take(c, f.argsz, 4)
      local flags = take_flags(c, f.unmap_flags, { f.unmap_bitmap, f.unmap_all })
      local address = take(c, f.address, 8)
      say(c, string.format(" %s size %s", hex64(address), hex64(take(c, f.length, 8))))
      if flags % 2 == 0 then return end
      take(c, f.page_size, 8)
      local size = take(c, f.bitmap_size, 8)
      if c.is_reply then take_bytes(c, f.bitmap, small(size)) end
    end
    command[3] = { dma_unmap, dma_unmap }

    local function device_info(c)
      take(c, f.argsz, 4)
      take_flags(c, f.device_flags, { f.device_reset, f.device_pci })
      take(c, f.num_regions, 4)
      take(c, f.num_irqs, 4)
      c.may_have_more = true
    end
    command[4] = { device_info, device_info }

    local function sparse_areas(c)
      local count = take(c, f.areas, 4)
      take(c, f.reserved, 4)
      for _ = 1, count do
        take(c, f.offset, 8)
        take(c, f.length, 8)
      end
    end

    local function capabilities(c, start, first)
      local next_ = first
      while next_ ~= 0 do
        if next_ < 32 or start + next_ < c.pos then error(SHORT, 0) end
        c.pos = start + next_
        local id = take(c, f.capability, 2)
        take(c, f.capability_version, 2)
        next_ = take(c, f.capability_next, 4)
        if id == 1 then
          sparse_areas(c)
        elseif id == 2 then
          take(c, f.region_type, 4)
          take(c, f.region_subtype, 4)
        end
      end
    end

    local function region_info(c)
      local start = c.pos
      local argsz = take(c, f.argsz, 4)
      local flags =
        take_flags(c, f.region_flags, { f.region_read, f.region_write, f.region_mmap, f.region_caps })
      say(c, " " .. region_name(take(c, f.region, 4)))
      local first = take(c, f.cap_offset, 4)
      local size = take(c, f.length, 8)
      take(c, f.offset, 8)
      if not c.is_reply then
        c.may_have_more = true
        return
      end
      say(c, " size " .. hex64(size))
      -- A reply that is shorter than argsz has no capabilities, and perhaps padding.
      if c.stop - start < argsz then
        c.may_have_more = true
      elseif bit.band(flags, 8) ~= 0 then
        capabilities(c, start, first)
        c.may_have_more = c.stop - start == argsz
      end
    end
    command[5] = { region_info, region_info }

    local function region_io_fds(c)
      local start = c.pos
      local argsz = take(c, f.argsz, 4)
      take(c, f.reserved, 4)
      say(c, " " .. region_name(take(c, f.region, 4)))
      local count = take(c, f.count, 4)
      if not c.is_reply or count == 0 or left(c) == 0 then return end
      local stride = math.floor((argsz - 16) / count)
      for index = 0, count - 1 do
        c.pos = start + 16 + index * stride
        take(c, f.offset, 8)
        take(c, f.length, 8)
        take(c, f.fd_index, 4)
        take(c, f.io_type, 4)
        take(c, f.io_flags, 4)
        take(c, f.reserved, 4)
        take(c, f.io_value, 8)
      end
      c.pos = math.min(c.stop, start + 16 + count * stride)
    end
    command[6] = { region_io_fds, region_io_fds }

    local function irq_info(c)
      take(c, f.argsz, 4)
      take_flags(c, f.irq_flags, { f.irq_eventfd, f.irq_maskable, f.irq_automasked, f.irq_noresize })
      local index = take(c, f.irq, 4)
      say(c, string.format(" %s count %d", irq_names[index] or index, take(c, f.count, 4)))
      c.may_have_more = true
    end
    command[7] = { irq_info, irq_info }

    local function set_irqs(c)
      take(c, f.argsz, 4)
      local flags = take_flags(c, f.set_flags, { f.set_data, f.set_action })
      local index = take(c, f.irq, 4)
      local start = take(c, f.start, 4)
      local count = take(c, f.count, 4)
      say(c, string.format(" %s %d+%d", irq_names[index] or index, start, count))
      if bit.band(flags, 2) ~= 0 then take_bytes(c, f.data, count) end
    end
    command[8] = { set_irqs, nothing }

    local function region_access(c)
      local offset = take(c, f.offset, 8)
      local region = take(c, f.region, 4)
      local count = take(c, f.count, 4)
      say(c, string.format(" %s+%s %d bytes", region_name(region), hex64(offset), count))
      return count
    end
    local function region_data(c)
      local count = region_access(c)
      say(c, value_text(c, count))
      take_bytes(c, f.data, count)
    end
    command[9] = { region_access, region_data }
    command[10] = { region_data, region_access }

    local function dma_access(c)
      local address = take(c, f.address, 8)
      local count = take(c, f.count64, 8)
      say(c, string.format(" %s %s bytes", hex64(address), tostring(count)))
      return small(count)
    end
    local function dma_data(c) take_bytes(c, f.data, dma_access(c)) end
    -- The reply to DMA_WRITE has 0, 12 or 16 bytes.
    local function dma_write_reply(c)
      if left(c) == 0 then return end
      if left(c) >= 16 then return dma_access(c) end
      take(c, f.address, 8)
      take(c, f.count, 4)
    end
    command[11] = { dma_access, dma_data }
    command[12] = { dma_data, dma_write_reply }
    command[13] = { nothing, nothing }

    local function write_multi(c)
      local count = take(c, f.count64, 8)
      say(c, string.format(" %s writes", tostring(count)))
      for _ = 1, math.min(small(count), 4096) do
        take(c, f.offset, 8)
        take(c, f.region, 4)
        take(c, f.count, 4)
        take_bytes(c, f.data, 8)
      end
      if small(count) > 4096 then c.may_have_more = true end
    end
    local function write_multi_reply(c) take(c, f.count64, 8) end
    command[15] = { write_multi, write_multi_reply }

    """#
}
