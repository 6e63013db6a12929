/// Lets tensors share memory where that cannot be seen: operands written straight into their concatenation, gradients
/// read straight out of it, results over operands that die.
///
/// A tensor is some channels of its root; roots get memory. Instructions that only moved data go away.
struct SharingPass {
    /// A tensor's place in another tensor of the same height and width.
    struct Place {
        var root: Int
        var channel: Int
    }

    private let tensors: [ProgramTensor]
    private let external: Set<Int>
    private var parents: [Int: Place] = [:]
    private var members: [Int: [Int]] = [:]
    private var reads: [Int: [Int]] = [:]
    private var writes: [Int: [Int]] = [:]
    private(set) var instructions: [ScheduledInstruction]
    private var removed: Set<Int> = []

    /// Plans the sharing; `external` tensors are the caller's memory, read-only.
    init(_ instructions: [ScheduledInstruction], tensors: [ProgramTensor], external: Set<Int>, enabled: Bool) {
        self.instructions = instructions
        self.tensors = tensors
        self.external = external
        guard enabled else { return }
        for (index, scheduled) in instructions.enumerated() {
            for id in scheduled.instruction.reads { reads[id, default: []].append(index) }
            for id in scheduled.instruction.writes { writes[id, default: []].append(index) }
        }
        for (index, scheduled) in instructions.enumerated() {
            switch scheduled.instruction.sharing {
            case .join(let operand, let joined, let channel): join(operand, into: joined, channel, at: index)
            case .slice(let part, let whole, let channel): slice(part, of: whole, channel, at: index)
            case .inPlace, nil: break
            }
        }
        for (index, scheduled) in instructions.enumerated() where !removed.contains(index) {
            if case .inPlace(let output, let input) = scheduled.instruction.sharing {
                overwrite(input, with: output, at: index)
            }
        }
        self.instructions = instructions.enumerated().filter { !removed.contains($0.offset) }.map(\.element)
    }

    /// The root of a tensor and its first channel there.
    func place(of tensor: Int) -> Place {
        var place = Place(root: tensor, channel: 0)
        while let parent = parents[place.root] {
            place = Place(root: parent.root, channel: place.channel + parent.channel)
        }
        return place
    }

    // MARK: Requests

    private mutating func join(_ operand: Int, into joined: Int, _ channel: Int, at index: Int) {
        guard isFree(operand), !external.contains(joined), !sharesRoot(operand, joined),
            last(writes[operand]) < index
        else { return }
        attach(operand, to: Place(root: joined, channel: channel))
        removed.insert(index)
    }

    private mutating func slice(_ part: Int, of whole: Int, _ channel: Int, at index: Int) {
        guard isFree(part), !external.contains(place(of: whole).root), !sharesRoot(part, whole),
            first(part) == index, last(writes[whole]) < index
        else { return }
        let own = place(of: whole).channel + channel
        let range = own..<own + tensors[part].shape.channels
        let blocked = overlapping(range, in: place(of: whole).root).contains { other in
            (reads[other] ?? []).contains { reader in
                reader > index && !isSlice(reader, of: whole, clearOf: range)
            }
        }
        if blocked { return }
        attach(part, to: Place(root: whole, channel: channel))
        removed.insert(index)
    }

    private mutating func overwrite(_ input: Int, with output: Int, at index: Int) {
        guard !external.contains(place(of: input).root), !external.contains(place(of: output).root),
            !sharesRoot(input, output)
        else { return }
        let dead = overlapping(range(of: input), in: place(of: input).root).allSatisfy { other in
            last(reads[other]) <= index && (other == input || last(writes[other]) <= index)
        }
        let unborn = overlapping(range(of: output), in: place(of: output).root).allSatisfy { other in
            (other == output || !hasAccess(of: other, before: index)) && (other != output || first(other) == index)
        }
        guard dead, unborn else { return }
        if parents[input] == nil {
            attach(input, to: Place(root: output, channel: 0))
        } else if parents[output] == nil {
            attach(output, to: Place(root: input, channel: 0))
        }
    }

    // MARK: Facts

    /// Whether a tensor may still be placed into another.
    private func isFree(_ tensor: Int) -> Bool { parents[tensor] == nil && !external.contains(tensor) }

    private func sharesRoot(_ a: Int, _ b: Int) -> Bool { place(of: a).root == place(of: b).root }

    private func range(of tensor: Int) -> Range<Int> {
        let channel = place(of: tensor).channel
        return channel..<channel + tensors[tensor].shape.channels
    }

    /// The tensors of a root that have channels of `range`.
    private func overlapping(_ range: Range<Int>, in root: Int) -> [Int] {
        ([root] + (members[root] ?? [])).filter { self.range(of: $0).overlaps(range) }
    }

    private func last(_ indices: [Int]?) -> Int { indices?.last ?? -1 }

    private func first(_ tensor: Int) -> Int {
        min(reads[tensor]?.first ?? .max, writes[tensor]?.first ?? .max)
    }

    /// Whether anything but the filling of a concatenation touches the tensor before `index`.
    private func hasAccess(of tensor: Int, before index: Int) -> Bool {
        ((reads[tensor] ?? []) + (writes[tensor] ?? [])).contains { access in
            if access >= index { return false }
            if case .join(_, let joined, _) = instructions[access].instruction.sharing { return joined != tensor }
            return true
        }
    }

    /// Whether an instruction only takes channels of `whole` that lie outside `range` of the root.
    private func isSlice(_ index: Int, of whole: Int, clearOf range: Range<Int>) -> Bool {
        let source: Int
        let channel: Int
        let count: Int
        if let backward = instructions[index].instruction as? ConcatenationBackward {
            (source, channel, count) = (backward.dy, backward.channel, tensors[backward.dx].shape.channels)
        } else {
            return false
        }
        guard source == whole else { return false }
        let start = place(of: whole).channel + channel
        return !(start..<start + count).overlaps(range)
    }

    private mutating func attach(_ tensor: Int, to place: Place) {
        parents[tensor] = place
        let root = self.place(of: place.root).root
        members[root, default: []] += [tensor] + (members[tensor] ?? [])
        members[tensor] = nil
    }
}
