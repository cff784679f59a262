extension Dissector {
  /// Features, and the parts of a saved state.
  static let features = #"""
    local feature_data = {}
    feature_data[1] = function(c) take(c, f.migration, 8) end
    feature_data[2] = function(c)
      local state = take(c, f.device_state, 4)
      say(c, " " .. (state_names[state] or state))
      take(c, f.data_fd, 4)
    end
    feature_data[6] = function(c)
      take(c, f.page_size, 8)
      local count = take(c, f.ranges, 4)
      take(c, f.reserved, 4)
      for _ = 1, count do
        take(c, f.address, 8)
        take(c, f.length, 8)
      end
    end
    feature_data[7] = nothing
    feature_data[8] = function(c)
      take(c, f.address, 8)
      take(c, f.length, 8)
      take(c, f.page_size, 8)
      if c.is_reply then take_bytes(c, f.bitmap, left(c)) end
    end

    local function feature(c)
      take(c, f.argsz, 4)
      local flags = take_flags(
        c, f.feature_flags, { f.feature, f.feature_get, f.feature_set, f.feature_probe })
      local index = bit.band(flags, 0xFFFF)
      local method = bit.band(flags, 0x40000) ~= 0 and "probe"
        or bit.band(flags, 0x20000) ~= 0 and "set" or "get"
      say(c, string.format(" %s %s", method, feature_names[index] or index))
      c.may_have_more = true
      if method == "probe" then return end
      -- A request to get has data only where the feature needs some.
      if not c.is_reply and method == "get" and index ~= 8 then return end
      local decode = feature_data[index]
      if decode then decode(c) elseif left(c) > 0 then take_bytes(c, f.data, left(c)) end
    end
    command[16] = { feature, feature }

    local function migration_read(c)
      take(c, f.argsz, 4)
      say(c, string.format(" %d bytes", take(c, f.data_size, 4)))
    end
    local function migration_data(c)
      take(c, f.argsz, 4)
      local size = take(c, f.data_size, 4)
      say(c, string.format(" %d bytes", size))
      take_bytes(c, f.data, size)
      -- libvfio-user sends as much as was asked for.
      c.may_have_more = c.is_reply
    end
    command[17] = { migration_read, migration_data }
    command[18] = { migration_data, nothing }

    """#
}
