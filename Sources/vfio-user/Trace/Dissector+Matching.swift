extension Dissector {
  /// Headers, replies to their commands, and the registration.
  static let matching = #"""
    -- Not there while a file is loaded without a tree; then connections are told apart by VERSION.
    local frame_interface = Field.new("frame.interface_id")

    -- Commands without a reply by socket, sender and ID; pairs by number of the packet.
    local open, replies, requests = {}, {}, {}
    function vfio_user.init() open, replies, requests = {}, {}, {} end

    -- 1 is what the server has sent (received), 2 what the client has sent; 0 if the recording does not
    -- say.
    local function direction(pinfo)
      return pinfo.p2p_dir == 1 and 1 or pinfo.p2p_dir == 0 and 2 or 0
    end

    local function key(sender, id)
      local socket = frame_interface()
      return string.format("%s/%d/%d", socket and tostring(socket.value) or "", sender, id)
    end

    local function remember(pinfo, sender, id, number, wants_reply)
      if pinfo.visited or not wants_reply then return end
      if number == 1 and not frame_interface() then open = {} end
      local k = key(sender, id)
      open[k] = open[k] or {}
      table.insert(open[k], { frame = pinfo.number, command = number, time = pinfo.rel_ts })
    end

    -- Finds the oldest command with this ID, and of this command if there is one.
    local function match(pinfo, sender, id, number)
      if pinfo.visited then return end
      local list = open[key(3 - sender, id)] or {}
      local place = list[1] and 1
      for index, one in ipairs(list) do
        if one.command == number then
          place = index
          break
        end
      end
      if not place then return end
      local request = table.remove(list, place)
      requests[pinfo.number] = {
        frame = request.frame, command = request.command, time = pinfo.rel_ts - request.time,
      }
      replies[request.frame] = pinfo.number
    end

    local function show_pair(tree, pinfo, is_reply, number)
      if not is_reply then
        local reply = replies[pinfo.number]
        if reply then tree:add(f.reply_in, reply):set_generated() end
        return
      end
      local request = requests[pinfo.number]
      if not request then
        tree:add_proto_expert_info(e.violation, "Reply to no command that waits for one")
        return
      end
      tree:add(f.request_in, request.frame):set_generated()
      local time = math.max(0, request.time)
      local seconds = math.floor(time)
      tree:add(f.time, NSTime.new(seconds, math.floor((time - seconds) * 1e9 + 0.5))):set_generated()
      if request.command ~= number then
        tree:add_proto_expert_info(e.violation, "Reply of another command")
      end
    end

    local function payload(c, number, failed)
      if c.is_reply and failed then return end
      local decode = command[number]
      if not decode then
        if left(c) > 0 then take_bytes(c, f.data, left(c)) end
        return
      end
      decode[c.is_reply and 2 or 1](c)
    end

    local function check_flags(tree, flags, is_reply, size)
      if bit.band(flags, 0xF) > 1 then
        tree:add_proto_expert_info(e.violation, "Neither a command nor a reply")
      end
      if bit.rshift(flags, 6) ~= 0 then
        tree:add_proto_expert_info(e.violation, "Undefined flags")
      end
      if bit.band(flags, 0x20) ~= 0 and not is_reply then
        tree:add_proto_expert_info(e.violation, "The Error bit in a command")
      end
      if bit.band(flags, 0x20) ~= 0 and is_reply and size > 16 then
        tree:add_proto_expert_info(e.violation, "An error reply with a payload")
      end
    end

    local function header(tvb, tree)
      local place = { tvb = tvb, pos = 0, stop = 16, tree = tree }
      local h = { id = take(place, f.id, 2), number = take(place, f.command, 2) }
      h.size = take(place, f.size, 4)
      h.flags = take_flags(place, f.flags, { f.type, f.no_reply, f.failed })
      h.errno = take(place, f.errno, 4)
      h.is_reply = bit.band(h.flags, 0xF) == 1
      h.failed = bit.band(h.flags, 0x20) ~= 0
      return h
    end

    local function finish(c, ok, problem, is_cut)
      if not ok and problem ~= SHORT then error(problem, 0) end
      if not ok and not is_cut then
        c.tree:add_proto_expert_info(e.malformed, "The message is shorter than its fields")
      elseif ok and left(c) > 0 and not c.may_have_more and not is_cut then
        c.tree:add(f.rest, range(c, left(c)))
        c.tree:add_proto_expert_info(e.malformed, "The message is longer than its fields")
      end
    end

    function vfio_user.dissector(tvb, pinfo, root)
      local tree = root:add(vfio_user, tvb())
      pinfo.cols.protocol = "vfio-user"
      local sender = direction(pinfo)
      if sender == 1 then
        pinfo.cols.src, pinfo.cols.dst = "server", "client"
      elseif sender == 2 then
        pinfo.cols.src, pinfo.cols.dst = "client", "server"
      end
      if tvb:captured_len() < 16 then
        tree:add_proto_expert_info(e.malformed, "Shorter than a header")
        pinfo.cols.info = "not a message"
        return
      end
      local h = header(tvb, tree)
      if h.size ~= tvb:reported_len() then
        tree:add_proto_expert_info(e.malformed, "The message size is not that of the packet")
        pinfo.cols.info = "not a message"
        return
      end
      check_flags(tree, h.flags, h.is_reply, h.size)
      if h.is_reply then
        match(pinfo, sender, h.id, h.number)
      else
        remember(pinfo, sender, h.id, h.number, bit.band(h.flags, 0x10) == 0)
      end
      show_pair(tree, pinfo, h.is_reply, h.number)

      local c = {
        tvb = tvb, pos = 16, stop = tvb:captured_len(), tree = tree, pinfo = pinfo,
        is_reply = h.is_reply, info = "",
      }
      local ok, problem = pcall(payload, c, h.number, h.failed)
      finish(c, ok, problem, tvb:captured_len() < tvb:reported_len())

      local name = command_names[h.number] or ("command " .. h.number)
      if not command_names[h.number] or h.number == 14 then
        tree:add_proto_expert_info(e.violation, "Not a command of the specification")
      end
      local kind = h.is_reply and " reply" or ""
      if h.is_reply and h.failed then
        kind = " error " .. (errno_names[h.errno] or h.errno)
        tree:add_proto_expert_info(e.failed, "The command has failed")
      end
      pinfo.cols.protocol = "vfio-user"
      pinfo.cols.info = string.format("#%d %s%s%s", h.id, name, kind, c.info)
      tree:append_text(string.format(", %s%s", name, kind))
    end

    DissectorTable.get("wtap_encap"):add(wtap.USER0, vfio_user)

    """#
}
