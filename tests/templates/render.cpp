// Renders chat templates with llama.cpp's own Jinja engine, to hold ours against it.
//
// usage: render TEMPLATE CONVERSATIONS
// CONVERSATIONS has one JSON object per line: what the template is given. For each one line of JSON
// is printed: {"text": …}, or {"error": …}.
#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"
#include "jinja/value.h"
#include "json.h"

#include "ggml.h"

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

// The JSON library ends a program by it; the rest of ggml is not needed.
extern "C" void ggml_abort(const char * file, int line, const char * format, ...) {
    std::cerr << file << ":" << line << ": " << format << "\n";
    std::abort();
}

static std::string read(const char * path) {
    std::ifstream file(path, std::ios::binary);
    return { std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>() };
}

static std::string render(const std::string & source, const common_json & given) {
    jinja::lexer lexer;
    jinja::program program = jinja::parse_from_tokens(lexer.tokenize(source));
    jinja::context context(source);
    context.current_time = 0;
    jinja::global_from_json(context, given, false);
    jinja::runtime runtime(context);
    return jinja::runtime::gather_string_parts(runtime.execute(program))->as_string().str();
}

int main(int argc, char ** argv) {
    if (argc != 3) {
        std::cerr << "usage: render TEMPLATE CONVERSATIONS\n";
        return 2;
    }
    setenv("TZ", "UTC", 1);
    tzset();
    const std::string source = read(argv[1]);
    std::ifstream conversations(argv[2]);
    for (std::string line; std::getline(conversations, line);) {
        common_json result = common_json::object();
        try {
            result["text"] = render(source, common_json::parse(line));
        } catch (const std::exception & error) {
            result["error"] = std::string(error.what());
        }
        std::cout << result.dump() << "\n";
    }
}
