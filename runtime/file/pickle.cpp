#include "runtime/file/pickle.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "runtime/file/byte_reader.h"

namespace bev {

using Kind = PickleValue::Kind;

const PickleValue* PickleValue::find(std::string_view key) const {
  if (kind != Kind::dict && kind != Kind::call) return nullptr;
  for (size_t i = items.size() / 2; i-- > 0;) {  // the last one counts, as in Python
    if (items[2 * i]->kind == Kind::text && items[2 * i]->text == key) return items[2 * i + 1];
  }
  return nullptr;
}

std::string_view name_of(Kind kind) {
  constexpr std::string_view names[] = {"None",   "a bool",  "an int", "a float",  "a str",     "bytes",
                                        "a list", "a tuple", "a dict", "a global", "an object", "a persistent id"};
  return names[static_cast<size_t>(kind)];
}

/// The stack machine that a pickle is a program for (Python's pickletools documents the opcodes).
class PickleMachine {
 public:
  PickleMachine(Pickle& pickle, std::span<const std::byte> bytes, const std::string& where,
                std::span<const std::string_view> globals)
      : pickle_(pickle), reader_(bytes, where), globals_(globals) {}

  void run() {
    while (!pickle_.root_) step(reader_.number<uint8_t>());
  }

 private:
  [[noreturn]] void malformed(std::string_view what) const {
    fail(ErrorKind::data, "{}: malformed pickle at byte {}: {}", reader_.where(), reader_.position(), what);
  }

  PickleValue& create(Kind kind) {
    PickleValue& value = pickle_.values_.emplace_back();
    value.kind = kind;
    return value;
  }
  PickleValue& push(Kind kind) {
    PickleValue& value = create(kind);
    stack_.push_back(&value);
    return value;
  }
  void push_integer(int64_t number, Kind kind = Kind::integer) { push(kind).integer = number; }
  void push_text(Kind kind, uint64_t length) { push(kind).text = reader_.text(length); }

  /// Marks hide what lies below them.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue* pop() {
    if (stack_.size() <= floor()) malformed("the stack is empty");
    PickleValue* const value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue& top() {
    if (stack_.size() <= floor()) malformed("the stack is empty");
    return *stack_.back();
  }
  std::vector<const PickleValue*> pop_to_mark() {
    if (marks_.empty()) malformed("there is no mark");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickleValue*> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }
  void push_tuple(size_t count) {
    std::vector<const PickleValue*> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push(Kind::tuple).items = std::move(items);
  }

  void append(const std::vector<const PickleValue*>& values) {
    PickleValue& list = top();
    if (list.kind != Kind::list) malformed("only lists are appended to");
    list.items.insert(list.items.end(), values.begin(), values.end());
  }
  void set(const std::vector<const PickleValue*>& values) {
    PickleValue& dict = top();
    if (dict.kind != Kind::dict && dict.kind != Kind::call) malformed("only dicts have items");
    if (values.size() % 2 != 0) malformed("a key without a value");
    dict.items.insert(dict.items.end(), values.begin(), values.end());
  }

  void remember(uint64_t place) { memo_.insert_or_assign(place, &top()); }
  void recall(uint64_t place) {
    const auto it = memo_.find(place);
    if (it == memo_.end()) malformed("something is recalled that was not kept");
    stack_.push_back(it->second);
  }

  void push_global(std::string_view module, std::string_view name) {
    const std::string& full = pickle_.names_.emplace_back(fmt::format("{}.{}", module, name));
    if (std::find(globals_.begin(), globals_.end(), full) == globals_.end()) {
      fail(ErrorKind::data, "{}: the pickle asks for {}, which is not needed for such data: refused, nothing was run",
           reader_.where(), full.substr(0, 200));
    }
    push(Kind::global).text = full;
  }
  void stack_global() {
    const PickleValue *const name = pop(), *const module = pop();
    if (name->kind != Kind::text || module->kind != Kind::text) malformed("a global without a name");
    push_global(module->text, name->text);
  }
  void call() {
    const PickleValue *const arguments = pop(), *const callee = pop();
    if (callee->kind != Kind::global || arguments->kind != Kind::tuple) malformed("a call of something else");
    PickleValue& value = push(Kind::call);
    value.callee = callee;
    value.argument = arguments;
  }
  void build() {
    const PickleValue* const state = pop();
    if (top().kind != Kind::call) malformed("a state for something else than an object");
    top().state = state;
  }

  int64_t long_integer(uint64_t length) {
    if (length > 8) malformed("an integer of more than 64 bits");
    const auto bytes = reader_.bytes(length);
    uint64_t number = length > 0 && (bytes[length - 1] & std::byte{0x80}) != std::byte{0} ? ~uint64_t{0} : 0;
    if (length > 0) std::memcpy(&number, bytes.data(), length);
    return static_cast<int64_t>(number);
  }
  double big_endian_real() {
    const uint64_t bits = __builtin_bswap64(reader_.number<uint64_t>());
    return std::bit_cast<double>(bits);
  }

  void step(uint8_t opcode);

  Pickle& pickle_;
  ByteReader reader_;
  std::span<const std::string_view> globals_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleValue*> memo_;
};

void PickleMachine::step(uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (const int protocol = reader_.number<uint8_t>(); protocol > 5) malformed(fmt::format("protocol {}", protocol));
      return;
    case 0x95:  // FRAME: only a hint for reading ahead
      if (reader_.number<uint64_t>() > reader_.remaining()) malformed("truncated");
      return;
    case '.':
      pickle_.root_ = pop();
      return;
    case '(':
      return marks_.push_back(stack_.size());
    case '0':
      pop();
      return;
    case '1':
      pop_to_mark();
      return;
    case 'N':
      push(Kind::none);
      return;
    case 0x88:
      return push_integer(1, Kind::boolean);
    case 0x89:
      return push_integer(0, Kind::boolean);
    case 'J':
      return push_integer(reader_.number<int32_t>());
    case 'K':
      return push_integer(reader_.number<uint8_t>());
    case 'M':
      return push_integer(reader_.number<uint16_t>());
    case 0x8A:  // LONG1
      return push_integer(long_integer(reader_.number<uint8_t>()));
    case 'G':
      push(Kind::real).real = big_endian_real();
      return;
    case 0x8C:
      return push_text(Kind::text, reader_.number<uint8_t>());
    case 'X':
      return push_text(Kind::text, reader_.number<uint32_t>());
    case 0x8D:
      return push_text(Kind::text, reader_.number<uint64_t>());
    case 'C':
      return push_text(Kind::bytes, reader_.number<uint8_t>());
    case 'B':
      return push_text(Kind::bytes, reader_.number<uint32_t>());
    case 0x8E:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      return push_text(Kind::bytes, reader_.number<uint64_t>());
    case ']':
      push(Kind::list);
      return;
    case 'a':
      return append({pop()});
    case 'e':
      return append(pop_to_mark());
    case ')':
      return push_tuple(0);
    case 0x85:
      return push_tuple(1);
    case 0x86:
      return push_tuple(2);
    case 0x87:
      return push_tuple(3);
    case 't': {
      auto items = pop_to_mark();
      push(Kind::tuple).items = std::move(items);
      return;
    }
    case '}':
      push(Kind::dict);
      return;
    case 's': {
      const PickleValue *const value = pop(), *const key = pop();
      return set({key, value});
    }
    case 'u':
      return set(pop_to_mark());
    case 'q':
      return remember(reader_.number<uint8_t>());
    case 'r':
      return remember(reader_.number<uint32_t>());
    case 0x94:
      return remember(memo_.size());
    case 'h':
      return recall(reader_.number<uint8_t>());
    case 'j':
      return recall(reader_.number<uint32_t>());
    case 'c': {
      const std::string_view module = reader_.line();
      return push_global(module, reader_.line());
    }
    case 0x93:
      return stack_global();
    case 'R':
      return call();
    case 'b':
      return build();
    case 'Q': {
      const PickleValue* const identity = pop();
      push(Kind::persistent).argument = identity;
      return;
    }
    default:
      fail(ErrorKind::data,
           "{}: the pickle has the opcode 0x{:02x} at byte {}, which plain data does not need: refused",
           reader_.where(), opcode, reader_.position() - 1);
  }
}

Pickle::Pickle(std::span<const std::byte> bytes, const std::string& where, std::span<const std::string_view> globals) {
  PickleMachine(*this, bytes, where, globals).run();
}

}  // namespace bev
